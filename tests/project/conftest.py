"""The wheel and its environments, which the tests of a session share."""

import pytest

from tests.support.environments import build_wheel, command


@pytest.fixture(scope="session")
def wheel(tmp_path_factory):
    return build_wheel(tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="session")
def base(wheel, tmp_path_factory):
    """The `sizewise` of an environment with what every installation has, and no extra."""
    return command(wheel, tmp_path_factory.mktemp("base"), "")


@pytest.fixture(scope="session")
def cpu(wheel, tmp_path_factory):
    return command(wheel, tmp_path_factory.mktemp("cpu"), "cpu")
