import pytest

from tests.bundles import write_registry
from tests.processes import serving


@pytest.fixture(scope="session")
def tiny_registry(tmp_path_factory):
    scratch = tmp_path_factory.mktemp("tiny")
    return write_registry(scratch / "registry", scratch)


@pytest.fixture(scope="module")
def server(tiny_registry):
    with serving(tiny_registry) as running:
        yield running
