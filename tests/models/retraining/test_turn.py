"""Whole turns of a real family that is trained in seconds, with logs of the server's own writer."""

import contextlib
import errno
import json
import resource

import pytest

from models.data.labelled import LABELS_NAME
from models.retraining import canary
from models.retraining import turn as turns
from models.retraining.record import read_record
from tests.support.refreshed_family import (
    VARIANTS,
    give_feedback,
    last,
    left_in,
    log_texts,
    new_versions,
    refresh,
    traffic,
    versions,
)  # fmt: skip
from tests.support.text_logs import START_S

pytestmark = pytest.mark.filterwarnings("ignore")  # what the libraries deprecate in themselves


def test_new_versions_are_made_compared_and_tried(tried, family):
    turn = last(tried)

    assert list(turn["steps"]) == ["collect", "make", "publish", "canary", "watch"]
    assert turn["outcome"] is None
    with contextlib.chdir(family):
        before = versions()
    with contextlib.chdir(tried):
        assert versions() == before
    assert set(new_versions(tried)) == set(VARIANTS)
    figures = turn["new_test"]["static-fp32"]
    assert figures["texts"] == turn["collected"]["added"]["test"] > 5
    assert figures["accuracy"]["value"] > figures["live_accuracy"]["value"]
    assert turn["old_test"]["static-int8"]["accuracy"]["value"] > 0.9
    traffic_json = json.loads((tried / "build/registry/tone/traffic.json").read_text())
    assert traffic_json["static-int8"]["canary"]["weight"] == 0.1
    assert left_in(tried) == {"record.json", "lock", "registry", "counted.json"}
    assert "Under way: canary is done." in (tried / "reports/tone/refresh.md").read_text()


def test_better_versions_are_promoted_and_then_nothing_is_new(on_trial, capsys):
    before, new = versions(), new_versions(on_trial)
    give_feedback(on_trial, 195)

    assert refresh() == 0

    said = capsys.readouterr().out
    assert "Promoted. By feedback on 400 answers of the new versions" in said
    assert versions() == new != before
    assert not (on_trial / "build/registry/tone/traffic.json").exists()
    assert left_in(on_trial) == {"record.json", "lock"}
    text = (on_trial / "reports/tone/refresh.md").read_text()
    assert text.splitlines()[2].startswith("Promoted.")
    assert all(version in text for version in (*before.values(), *new.values()))
    assert (on_trial / "reports/tone/refresh.png").read_bytes()[:4] == b"\x89PNG"
    assert refresh() == 0
    assert "Nothing new: the last turn" in capsys.readouterr().out
    assert len(read_record(on_trial / "build/refresh/tone", "tone").turns) == 1


def test_worse_versions_are_withdrawn_and_more_feedback_begins_another_turn(on_trial, capsys):
    before = versions()
    give_feedback(on_trial, 90)

    assert refresh() == 0

    assert "Withdrawn. By feedback on" in capsys.readouterr().out
    assert versions() == before
    assert {path.name for path in (on_trial / "build/registry/tone").iterdir()} == set(VARIANTS)
    later = START_S + 60
    log_texts("later", [*traffic(150), *traffic(200, seed=1)[:20]], at_s=later)
    assert refresh("--log", "later") == 0
    assert [
        turn.outcome for turn in read_record(on_trial / "build/refresh/tone", "tone").turns
    ] == ["withdrawn", None]
    assert "## Earlier turns" in (on_trial / "reports/tone/refresh.md").read_text()


def test_a_turn_keeps_to_the_terms_it_began_with(on_trial, capsys):
    give_feedback(on_trial, 150)

    assert refresh("--margin", "0.9") == 0

    said = capsys.readouterr().out
    assert "keeps to what it began with: --weight 0.1 --margin 0.02 --confidence 0.95" in said
    assert "Undecided" in said


def test_texts_divided_by_other_labels_than_the_familys_are_refused_at_once(here, capsys):
    log_texts("log", traffic(10))
    path = here / "build/tone/static-fp32/data" / LABELS_NAME
    about = json.loads(path.read_text())
    path.write_text(json.dumps(about | {"labels": ["negative", "neutral", "positive"]}))

    assert refresh() == 2

    assert "has the labels negative, neutral, positive, and tone answers" in capsys.readouterr().err


def test_a_registry_that_cannot_be_written_is_said_in_a_sentence(on_trial, monkeypatch, capsys):
    give_feedback(on_trial, 195)

    def read_only(*_):
        raise OSError(errno.EROFS, "Read-only file system", "registry/tone")

    with monkeypatch.context() as patched:
        patched.setattr(turns, "promote", read_only)
        assert refresh() == 2
    assert "promote: " in (said := capsys.readouterr().err)
    assert "Read-only file system" in said

    assert refresh() == 0
    assert last(on_trial)["outcome"] == "promoted"


def test_a_registry_that_cannot_be_written_is_found_out_before_anything_is_collected(
    here, monkeypatch, capsys
):
    log_texts("log", traffic(10))

    def read_only(path):
        raise OSError(errno.EROFS, "Read-only file system", str(path))

    monkeypatch.setattr(canary, "create_beside", read_only)

    assert refresh() == 2

    said = capsys.readouterr()
    assert "build/registry/tone cannot be written, as publishing there needs" in said.err
    assert "Read-only file system" in said.err
    assert left_in(here) == {"lock"}


@pytest.mark.parametrize("name", ["train.jsonl", "unlabelled.jsonl"])
def test_a_build_that_cannot_be_read_says_how_to_make_it_again(here, capsys, name):
    log_texts("log", traffic(10))
    (here / "build/tone/static-fp32/data" / name).unlink()

    assert refresh() == 2

    said = capsys.readouterr().err
    assert "static-fp32/data cannot be read: run `python -m models data` again" in said
    assert said.count("\n") == 1


def test_a_bundle_in_place_of_a_registry_is_refused_before_anything_is_made(here, capsys):
    log_texts("log", traffic(10))

    assert refresh("--registry", "build/registry/tone/static-int8") == 2

    assert "nothing can be published beside it" in capsys.readouterr().err
    assert not (here / "build/refresh/tone/record.json").exists()


def test_a_disk_that_is_full_is_one_sentence_and_the_turn_goes_on_later(here, capsys):
    log_texts("log", traffic(10))
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2000, limits[1]))
    try:
        assert refresh() == 2
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)

    said = capsys.readouterr().err
    assert "[Errno 27] File too large: make room, then start this again" in said
    assert said.count("\n") == 1
    assert not (here / "build/refresh/tone/tables").exists()
