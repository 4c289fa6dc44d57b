import importlib
import warnings

import pytest

from tests.support.bundles import write_registry
from tests.support.processes import SETTINGS, serving

# Importing OpenVINO is half of a start; what `auto` chooses is tested for itself.
SETTINGS["engine"] = "onnxruntime"


@pytest.fixture(scope="session")
def tiny_registry(tmp_path_factory):
    scratch = tmp_path_factory.mktemp("tiny")
    return write_registry(scratch / "registry", scratch)


@pytest.fixture(scope="module")
def server(tiny_registry):
    with serving(tiny_registry) as running:
        yield running


@pytest.fixture(scope="session")
def tone(tmp_path_factory):
    """A trained tiny teacher; imported late, because serving's tests need no torch."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        tiny_teacher = importlib.import_module("tests.support.tiny_teacher")
        return tiny_teacher.train_teacher(tmp_path_factory.mktemp("tone"))
