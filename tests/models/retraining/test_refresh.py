"""The command `refresh` on a real family that is trained in seconds, and logs of real writers."""

import contextlib
import json
import shutil

import pytest

from models.__main__ import main
from models.data.labelled import read_split
from serving.bundles.registry import read_registry
from tests.support.refreshed_family import (
    VARIANTS,
    log_answers,
    log_texts,
    make_family,
    old_traffic,
    traffic,
    versions,
)

pytestmark = pytest.mark.filterwarnings("ignore")  # what the libraries deprecate in themselves


@pytest.fixture(scope="module")
def family(tmp_path_factory):
    home = tmp_path_factory.mktemp("family")
    with contextlib.chdir(home):
        make_family(home)
    return home


@pytest.fixture
def here(family, tmp_path, monkeypatch):
    """A copy of the family, in the working folder."""
    shutil.copytree(family, tmp_path / "home")
    monkeypatch.chdir(tmp_path / "home")
    return tmp_path / "home"


def refresh(*options, log="log"):
    return main(["refresh", "tone", "--log", str(log), "--recipes", "recipes", *options])


def record(here):
    return json.loads((here / "build/refresh/tone/record.json").read_text())


def tried(here):
    return {
        name: its["canary"]
        for name, its in record(here)["turns"][-1]["canaries"]["versions"].items()
    }


def test_a_family_learns_from_its_log_and_is_promoted(here, capsys):
    before = versions()
    log_texts("log", traffic(150), unlabelled=[text for text, _ in traffic(200)[150:]])

    assert refresh() == 0
    said = capsys.readouterr().out

    turn = record(here)["turns"][0]
    assert list(turn["steps"]) == ["collect", "make", "publish", "canary", "watch"]
    assert turn["outcome"] is None
    assert "Undecided" in said
    assert "Next: let callers give feedback, then run this again: the test goes on" in said
    assert versions() == before
    assert set(tried(here)) == set(VARIANTS)
    figures = turn["new_test"]["static-fp32"]
    assert figures["texts"] == turn["collected"]["added"]["test"] > 5
    assert figures["accuracy"]["value"] > figures["live_accuracy"]["value"]
    canaries = json.loads((here / "build/registry/tone/traffic.json").read_text())
    assert canaries["static-int8"]["canary"]["weight"] == 0.1
    assert not (here / "build/refresh/tone/tables").exists()
    assert not (here / "build/refresh/tone/build").exists()

    for variant, version in tried(here).items():
        log_answers("log", variant, before[variant], 300, 100)
        log_answers("log", variant, version, 195, 5)
    assert refresh() == 0
    said = capsys.readouterr().out

    assert "Promoted. By feedback on" in said
    assert versions() == tried(here) != before
    assert not (here / "build/registry/tone/traffic.json").exists()
    assert {path.name for path in (here / "build/refresh/tone").iterdir()} == {
        "record.json", "lock",
    }  # fmt: skip
    text = (here / "reports/tone/refresh.md").read_text()
    assert "Promoted." in text
    assert "static-int8" in text
    assert (here / "reports/tone/refresh.png").read_bytes()[:4] == b"\x89PNG"

    assert refresh() == 0
    assert "Nothing new" in capsys.readouterr().out
    assert len(record(here)["turns"]) == 1
