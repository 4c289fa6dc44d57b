import contextlib
import shutil

import pytest

from tests.support.next_versions import new_home
from tests.support.refreshed_family import UNLABELLED, log_texts, make_family, refresh, traffic


@pytest.fixture
def home(tmp_path):
    """A family that is served, and its next versions, made elsewhere."""
    return new_home(tmp_path)


@pytest.fixture(scope="session")
def family(tmp_path_factory):
    """A family whose recipes train in seconds."""
    folder = tmp_path_factory.mktemp("family")
    with contextlib.chdir(folder):
        make_family(folder)
    return folder


@pytest.fixture(scope="session")
def tried(family, tmp_path_factory):
    """The family when its new versions are on trial."""
    folder = tmp_path_factory.mktemp("tried") / "home"
    shutil.copytree(family, folder)
    with contextlib.chdir(folder):
        log_texts("log", traffic(150), UNLABELLED)
        assert refresh() == 0
    return folder


def _copied(folder, tmp_path, monkeypatch):
    shutil.copytree(folder, tmp_path / "home")
    monkeypatch.chdir(tmp_path / "home")
    return tmp_path / "home"


@pytest.fixture
def here(family, tmp_path, monkeypatch):
    """A copy of the family, in the working folder."""
    return _copied(family, tmp_path, monkeypatch)


@pytest.fixture
def on_trial(tried, tmp_path, monkeypatch):
    """A copy of the family on trial, in the working folder."""
    return _copied(tried, tmp_path, monkeypatch)
