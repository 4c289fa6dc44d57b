"""What a look at the versions on trial finds, and what nobody may change meanwhile."""

import json
import shutil
from datetime import UTC, datetime, timedelta
from functools import partial

import pytest

from models.retraining import turn as turns
from serving.bundles.registry import publish
from tests.support.refreshed_family import (
    give_feedback,
    last,
    log_answers,
    new_versions,
    refresh,
    versions,
)

pytestmark = pytest.mark.filterwarnings("ignore")  # what the libraries deprecate in themselves


def test_without_feedback_it_is_undecided_and_says_so(on_trial, capsys):
    assert refresh() == 0
    assert last(on_trial)["outcome"] is None

    said = capsys.readouterr().out
    assert "No new or live version has feedback" in said
    assert "Undecided: the test ends at" in said
    assert "Next: let callers give feedback, then run this again: the test goes on" in said


def test_feedback_on_answers_of_a_cascade_does_not_count_and_it_says_so(on_trial, capsys):
    (variant, version), *_ = new_versions(on_trial).items()
    log_answers("log", variant, version, right=5, of=7, alone=False)

    assert refresh() == 0

    said = capsys.readouterr().out
    assert "No new or live version has feedback that counts, of 7: answers of a cascade" in said


def test_what_nobody_decides_is_withdrawn_in_time(on_trial, monkeypatch, capsys):
    later = partial(turns.take_turn, now=lambda: datetime.now(UTC) + timedelta(days=14, seconds=1))
    monkeypatch.setattr(turns, "take_turn", later)

    assert refresh() == 0

    assert last(on_trial)["outcome"] == "withdrawn"
    assert "Not decided within 14 days." in capsys.readouterr().out


def test_what_was_counted_stays_counted_though_the_log_has_lost_it(on_trial, capsys):
    give_feedback(on_trial, 150, of=160)
    assert refresh() == 0
    before = last(on_trial)["verdict"]["pooled"]
    shutil.rmtree("log/feedback")
    (variant, version), *_ = new_versions(on_trial).items()
    log_answers("log", variant, version, right=1, of=1, at_s=later_s(), caller="other")

    assert refresh() == 0

    after = last(on_trial)["verdict"]["pooled"]
    assert before["canary"] == {"right": 300, "wrong": 20}
    assert after["canary"] == {"right": 301, "wrong": 20}
    assert after["live"] == before["live"]
    assert last(on_trial)["course"][-1]["answers"] == 641
    assert "By feedback on 321 answers" in capsys.readouterr().out


def later_s():
    return (datetime.now(UTC) + timedelta(seconds=60)).timestamp()


def remove_canaries(here):
    (here / "build/registry/tone/traffic.json").unlink()


def give_one_canary_more(here):
    path = here / "build/registry/tone/traffic.json"
    entries = json.loads(path.read_text())
    entries["static-int8"]["canary"]["weight"] = 0.5
    path.write_text(json.dumps(entries))


def break_traffic(here):
    (here / "build/registry/tone/traffic.json").write_text("{")


def pin_the_live_version(here):
    pins = {name: {"version": version} for name, version in versions().items()}
    (here / "build/registry/tone/traffic.json").write_text(json.dumps(pins))


def pin_the_new_version(here):
    pins = {name: {"version": version} for name, version in new_versions(here).items()}
    (here / "build/registry/tone/traffic.json").write_text(json.dumps(pins))


def publish_over_the_live_version(here):
    publish(here / "build/registry/tone/static-int8@refreshed", here / "build/registry")


def remove_the_live_version(here):
    shutil.rmtree(here / "build/registry/tone/static-int8")


def remove_the_new_version(here):
    shutil.rmtree(here / "build/registry/tone/static-int8@refreshed")


@pytest.mark.parametrize(
    "change",
    [
        remove_canaries, give_one_canary_more, break_traffic, pin_the_live_version,
        publish_over_the_live_version, remove_the_live_version, remove_the_new_version,
    ],
)  # fmt: skip
@pytest.mark.parametrize("right", [195, 150, 90])
def test_what_is_no_longer_on_trial_is_neither_promoted_nor_withdrawn_nor_waited_for(
    on_trial, capsys, change, right
):
    give_feedback(on_trial, right)
    change(on_trial)
    before = kept(on_trial)

    assert refresh() == 2

    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert "give this turn up by taking its canaries out of traffic.json and removing" in said
    assert kept(on_trial) == before
    assert last(on_trial)["outcome"] is None


@pytest.mark.parametrize("change", [pin_the_new_version, give_one_canary_more])
def test_what_is_no_longer_on_trial_is_not_withdrawn_when_time_is_up(
    on_trial, monkeypatch, capsys, change
):
    later = partial(turns.take_turn, now=lambda: datetime.now(UTC) + timedelta(days=15))
    monkeypatch.setattr(turns, "take_turn", later)
    change(on_trial)
    before = kept(on_trial)

    assert refresh() == 2

    assert "give this turn up by taking its canaries" in capsys.readouterr().err
    assert kept(on_trial) == before
    assert last(on_trial)["outcome"] is None


def kept(here):
    """The registry's files."""
    registry = here / "build/registry"
    return {path: path.read_bytes() for path in registry.rglob("*") if path.is_file()}


def test_a_trial_ends_in_time_though_the_log_has_nothing_left(on_trial, monkeypatch, capsys):
    shutil.rmtree("log")
    assert refresh() == 2
    assert "has nothing of tone" in capsys.readouterr().err
    later = partial(turns.take_turn, now=lambda: datetime.now(UTC) + timedelta(days=14, seconds=1))
    monkeypatch.setattr(turns, "take_turn", later)

    assert refresh() == 0

    assert last(on_trial)["outcome"] == "withdrawn"
