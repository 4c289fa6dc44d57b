"""A server of known behaviour for the load test: tests.support.stand_in_server."""

import os
import shutil
from pathlib import Path

import pytest

from loadtest.measure.server import running_server
from tests.support import stand_in_server
from tests.support.processes import ROOT


@pytest.fixture
def stand_in(tmp_path, monkeypatch):
    """Make `python -m serving` the stand-in, in a working folder of its own."""
    package = tmp_path / "serving"
    package.mkdir()
    (package / "__init__.py").touch()
    shutil.copyfile(stand_in_server.__file__, package / "__main__.py")
    monkeypatch.chdir(tmp_path)
    # Nothing is imported from the working folder itself.
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path), str(ROOT)]))


@pytest.fixture
def server(stand_in, tmp_path):  # noqa: ARG001
    with running_server(Path("registry"), tmp_path / "server.log") as server:
        yield server


@pytest.fixture
def url(server):
    return server.url
