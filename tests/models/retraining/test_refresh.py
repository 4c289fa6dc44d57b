"""The command `refresh` on a real family that is trained in seconds, and logs of real writers."""

import contextlib
import fcntl
import json
import os
import shutil
import signal
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from functools import partial

import pytest

from models.__main__ import main
from models.data.splits import assigned, normalised
from models.recipe import read_recipe
from models.retraining import turn as turns
from serving.errors import BundleError
from tests.support.processes import ROOT
from tests.support.refreshed_family import (
    VARIANTS,
    log_answers,
    log_texts,
    make_family,
    traffic,
    versions,
)
from tests.support.registries import wait_for

pytestmark = pytest.mark.filterwarnings("ignore")  # what the libraries deprecate in themselves
UNLABELLED = [text for text, _ in traffic(200)[150:]]


@pytest.fixture(scope="module")
def family(tmp_path_factory):
    home = tmp_path_factory.mktemp("family")
    with contextlib.chdir(home):
        make_family(home)
    return home


@pytest.fixture(scope="module")
def tried(family, tmp_path_factory):
    """The family whose new versions are on trial, and what the command said."""
    home = tmp_path_factory.mktemp("tried") / "home"
    shutil.copytree(family, home)
    with contextlib.chdir(home):
        log_texts("log", traffic(150), UNLABELLED)
        assert refresh() == 0
    return home


def copied(folder, tmp_path, monkeypatch):
    shutil.copytree(folder, tmp_path / "home")
    monkeypatch.chdir(tmp_path / "home")
    return tmp_path / "home"


@pytest.fixture
def here(family, tmp_path, monkeypatch):
    """A copy of the family, in the working folder."""
    return copied(family, tmp_path, monkeypatch)


@pytest.fixture
def on_trial(tried, tmp_path, monkeypatch):
    """A copy of the family on trial, in the working folder."""
    return copied(tried, tmp_path, monkeypatch)


def command(*options, log="log"):
    return ["refresh", "tone", "--log", str(log), "--recipes", "recipes", *options]


def refresh(*options, log="log"):
    return main(command(*options, log=log))


def record(here):
    return json.loads((here / "build/refresh/tone/record.json").read_text())


def last(here):
    return record(here)["turns"][-1]


def new_versions(here):
    return {name: its["canary"] for name, its in last(here)["canaries"]["versions"].items()}


def give_feedback(here, right_of_new, right_of_live=150, of=200):
    before = versions()
    for variant, version in new_versions(here).items():
        log_answers("log", variant, before[variant], right=right_of_live, of=of)
        log_answers("log", variant, version, right=right_of_new, of=of)


def left_in(here):
    return {path.name for path in (here / "build/refresh/tone").iterdir()}


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
    assert left_in(tried) == {"record.json", "lock", "registry"}
    assert "Under way: canary is done." in (tried / "reports/tone/refresh.md").read_text()


def test_without_feedback_it_is_undecided_and_says_so(on_trial, capsys):
    assert refresh() == 0

    said = capsys.readouterr().out
    assert "No new or live version has feedback" in said
    assert "Undecided: the test ends at" in said
    assert "Next: let callers give feedback, then run this again: the test goes on" in said


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
    assert len(record(on_trial)["turns"]) == 1


def test_worse_versions_are_withdrawn_and_more_feedback_begins_another_turn(on_trial, capsys):
    before = versions()
    give_feedback(on_trial, 90)

    assert refresh() == 0

    assert "Withdrawn. By feedback on" in capsys.readouterr().out
    assert versions() == before
    assert {path.name for path in (on_trial / "build/registry/tone").iterdir()} == set(VARIANTS)
    later = datetime.now(UTC).timestamp() + 60
    log_texts("later", [*traffic(150), *traffic(200, seed=1)[:20]], at_s=later)
    assert refresh(log="later") == 0
    assert [turn["outcome"] for turn in record(on_trial)["turns"]] == ["withdrawn", None]
    assert "## Earlier turns" in (on_trial / "reports/tone/refresh.md").read_text()


def test_what_nobody_decides_is_withdrawn_in_time(on_trial, monkeypatch, capsys):
    later = partial(turns.take_turn, now=lambda: datetime.now(UTC) + timedelta(days=14, seconds=1))
    monkeypatch.setattr(turns, "take_turn", later)

    assert refresh() == 0

    assert "Withdrawn." in (said := capsys.readouterr().out)
    assert "Not decided within 14 days." in said


def test_a_turn_keeps_to_the_terms_it_began_with(on_trial, capsys):
    give_feedback(on_trial, 150)

    assert refresh("--margin", "0.9") == 0

    said = capsys.readouterr().out
    assert "keeps to what it began with: --weight 0.1 --margin 0.02 --confidence 0.95" in said
    assert "Undecided" in said


@pytest.mark.parametrize("outcome", ["promoted", "withdrawn"])
def test_wherever_it_is_stopped_it_goes_on_to_the_same_end(here, monkeypatch, outcome):
    """Each write of the record, and each step, fails once, and then the command starts again."""
    log_texts("log", traffic(150), UNLABELLED)
    steps = ["write_record", "make_versions", "publish_beside", "start_canaries", "judge"]
    steps += ["promote" if outcome == "promoted" else "withdraw"]
    failed = set()

    def failing(name, does, when):
        def observed(*arguments, **fields):
            key = (name, when, len(record(here)["turns"][-1]["steps"]) if failed else 0)
            if when == "after":
                result = does(*arguments, **fields)
            if key not in failed and not (name == "write_record" and len(failed) > 8):
                failed.add(key)
                raise Stopped
            return result if when == "after" else does(*arguments, **fields)

        return observed

    for name in steps:
        for when in ("before", "after"):
            monkeypatch.setattr(turns, name, failing(name, getattr(turns, name), when))
    before = versions()
    for _ in range(60):
        try:
            assert refresh() == 0
        except (Stopped, FileNotFoundError):
            continue
        if last(here)["outcome"]:
            break
        give_feedback(here, 195 if outcome == "promoted" else 90)

    assert last(here)["outcome"] == outcome
    assert {name for name, _, _ in failed} == set(steps)
    expected = new_versions(here) if outcome == "promoted" else before
    assert versions() == expected
    assert not (here / "build/registry/tone/traffic.json").exists()
    assert left_in(here) == {"record.json", "lock"}


class Stopped(BaseException):
    """The process ends here."""


def test_a_run_that_was_killed_in_the_middle_of_making_goes_on(here):
    log_texts("log", traffic(150), UNLABELLED)
    whole = [sys.executable, "-m", "models", *command()]
    environ = os.environ | {"PYTHONPATH": str(ROOT)}
    trained = here / "build/refresh/tone/build/tone/static-fp32/static"
    with subprocess.Popen(whole, env=environ, stdout=subprocess.DEVNULL) as process:
        wait_for(trained.is_dir, seconds=100)
        process.send_signal(signal.SIGKILL)
    assert last(here)["steps"]["make"]["ended"] is None

    done = subprocess.run(whole, env=environ, capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stderr
    assert "static-fp32: static is up to date" in done.stdout
    assert "collect:" not in done.stdout
    assert "Undecided" in done.stdout


def test_two_at_a_time_exclude_each_other(here, capsys):
    log_texts("log", traffic(10))
    folder = here / "build/refresh/tone"
    folder.mkdir(parents=True)
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert refresh() == 2
    assert "another refresh is at work in build/refresh/tone" in capsys.readouterr().err


def test_what_a_gate_refuses_stays_as_it_is(here, capsys):
    before = versions()
    log_texts("log", traffic(150))
    gated = here / "recipes/static-int8.toml"
    gated.write_text(gated.read_text().replace("0.1", "0.0001"))

    assert refresh() == 0

    assert set(new_versions(here)) == {"static-fp32"}
    assert "Refused: static-int8:" in (said := capsys.readouterr().out)
    assert "As they are: static-int8" in said
    assert versions() == before


def test_if_all_are_refused_nothing_is_tried_and_the_next_start_collects_again(here, capsys):
    log_texts("log", traffic(150))
    root = here / "recipes/static-fp32.toml"
    before = root.read_text()
    gate = "[evaluate]\nmin_accuracy = 1.0\n"
    root.write_text(f"{before.replace('epochs = 20', 'epochs = 1')}{gate}")
    (here / "recipes/static-int8.toml").unlink()

    assert refresh() == 2

    said = capsys.readouterr()
    assert "hold the collected texts, in the clear" in said.out
    assert last(here)["refused"]
    assert not (here / "build/registry/tone/traffic.json").exists()
    root.write_text(before)
    assert refresh() == 0
    assert "collect:" in capsys.readouterr().out
    assert len(record(here)["turns"]) == 1
    assert set(new_versions(here)) == {"static-fp32"}


def test_filled_in_tables_teach_too_and_empty_rows_do_not(here, capsys):
    rows = traffic(120)
    log_texts("log", [], [text for text, _ in rows])
    cells = "".join(f"{text},{label if n < 100 else ''}\n" for n, (text, label) in enumerate(rows))
    (here / "labels.csv").write_text(f"text,label\n{cells}")
    assert refresh() == 2
    assert "nothing to learn from: no logged text of tone has feedback" in capsys.readouterr().err

    assert refresh("--labelled", "labels.csv") == 0

    collected = last(here)["collected"]
    assert (collected["tables"], collected["unfilled"]) == (100, 20)
    assert sum(collected["added"].values()) == 100
    assert collected["unlabelled"] == 20


def test_if_all_new_texts_are_held_out_there_is_no_new_version(here, capsys):
    data = read_recipe(here / "recipes/static-fp32.toml").data
    held_out = [row for row in traffic(200) if assigned(normalised(row[0]), data) == "test"]
    log_texts("log", held_out[:3])

    assert refresh() == 0

    assert "Unchanged. The new versions are the live ones" in capsys.readouterr().out
    assert last(here)["outcome"] == "unchanged"


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (("--weight", "1"), "--weight 1: Input should be less than 1"),
        (("--margin", "-1"), "--margin -1: Input should be greater than or equal to 0"),
        (("--confidence", "nan"), "--confidence nan: Input should be"),
        (("--days", "0"), "--days 0: Input should be greater than 0"),
        (("--labelled", "none.csv"), "--labelled: none.csv does not exist"),
        (("--recipes", "none"), "--recipes none is not a folder"),
        (("--recipes", "log"), "contains no recipe"),
        (("--registry", "none"), "none is not a folder"),
        (("--log", "none"), "--log none has nothing of tone"),
    ],
)
def test_what_cannot_be_done_is_said_in_a_sentence_and_changes_nothing(
    here, capsys, options, reason
):
    log_texts("log", traffic(10))

    assert refresh(*options) == 2

    said = capsys.readouterr().err.splitlines()
    assert reason in said[-1]
    assert not (here / "build/refresh/tone/record.json").exists()
    assert not (here / "build/registry/tone/traffic.json").exists()


def test_a_family_without_its_divided_texts_says_how_to_get_them(here, capsys):
    log_texts("log", traffic(10))
    shutil.rmtree(here / "build/tone")

    assert refresh() == 2
    assert "run `python -m models data recipes/static-fp32.toml` first" in capsys.readouterr().err


def test_a_broken_record_is_named(here, capsys):
    log_texts("log", traffic(10))
    folder = here / "build/refresh/tone"
    folder.mkdir(parents=True)
    (folder / "record.json").write_text("{")

    assert refresh() == 2
    assert "record.json cannot be read" in capsys.readouterr().err


def test_an_error_of_the_registry_is_recorded_and_the_step_taken_again(here, monkeypatch, capsys):
    log_texts("log", traffic(150))

    def full(*_):
        raise BundleError("the disk is full")

    with monkeypatch.context() as patched:
        patched.setattr(turns, "publish_beside", full)
        assert refresh() == 2
    assert "the disk is full" in capsys.readouterr().err
    assert last(here)["steps"]["publish"]["ended"] is None

    assert refresh() == 0
    assert set(new_versions(here)) == set(VARIANTS)
