"""`models live` on a real family and a log of which everything is known."""

import csv
import json

import pytest
from cryptography.fernet import Fernet

from models.__main__ import main
from serving.bundles.registry import read_registry
from serving.feedback.log_files import LogFiles
from tests.support.text_logs import START_S, feedback_row, text_row
from tests.support.tone_family import write_tone

# `small` reads two words of a text, `medium` four and `large` all.
DISPUTED = "good film film film film bad awful"


@pytest.fixture(scope="module")
def registry(tmp_path_factory):
    home = tmp_path_factory.mktemp("tone")
    write_tone(home)
    return home / "registry"


@pytest.fixture
def log(tmp_path, monkeypatch):
    """An encrypted log of 60 texts that were answered, of which 40 got feedback."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "keys").write_bytes(Fernet.generate_key())
    files = LogFiles("log", tmp_path / "keys")
    texts = [text_row(str(n), f"good film {n}", 0.9) for n in range(58)]
    texts += [text_row("disputed", DISPUTED, 0.2), text_row("unsure", "good plot", 0.51)]
    files.write("texts", texts[:30], START_S)
    files.write("texts", texts[30:], START_S + 60)
    files.write("texts", [text_row("other", "other", 0.5, model="other")], START_S)
    wrong = [feedback_row(str(n), "positive", "negative") for n in range(40)]
    corrected = [feedback_row(str(n), "positive", "positive", at_s=START_S + 9) for n in range(30)]
    files.write("feedback", corrected, START_S + 9)
    files.write("feedback", wrong, START_S)
    return files


def run(registry, *options):
    return main(["live", "tone", "--registry", str(registry), "--log", "log", *options])


def test_the_report_says_what_was_put_into_the_log(registry, log, tmp_path, capsys):
    assert len(log.listed("texts")) == 3
    assert run(registry, "--keys", "keys", "--export", "3") == 0
    said = capsys.readouterr().out
    found = json.loads((tmp_path / "reports/tone/live.json").read_text())

    assert (found["texts"], found["feedback"]) == (60, 40)
    (accuracy,) = found["accuracies"]
    assert (accuracy["variant"], accuracy["n"], accuracy["accuracy"]["value"]) == (
        "large", 40, 0.75,
    )  # fmt: skip
    assert (found["candidates"], found["disputed"]) == (20, 1)
    assert (tmp_path / "reports/tone/live.md").read_text() in said
    assert "| large | 1 | 40 | 75.0 (" in said
    assert "biased sample" in said
    assert (tmp_path / "reports/tone/live.png").read_bytes()[:4] == b"\x89PNG"
    with (tmp_path / "reports/tone/worth-labelling.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["request_id"] for row in rows[:2]] == ["disputed", "unsure"]
    assert len(rows) == 3
    assert float(rows[0]["disagreement"]) == pytest.approx(2 / 3, abs=1e-3)
    assert "Next: fill in the column `label` of reports/tone/worth-labelling.csv" in said


def test_deleted_requests_are_in_nothing(registry, log, tmp_path, capsys):
    log.mark_deleted("search", "disputed", START_S)
    for number in range(40):
        log.mark_deleted("search", str(number), START_S)
    assert run(registry, "--keys", "keys", "--format", "jsonl") == 0

    said = capsys.readouterr().out
    found = json.loads((tmp_path / "reports/tone/live.json").read_text())
    assert (found["texts"], found["feedback"], found["disputed"]) == (19, 0, 0)
    assert "There is no feedback." in said
    assert DISPUTED not in (tmp_path / "reports/tone/worth-labelling.jsonl").read_text()


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ((), "is encrypted"),
        (("--keys", "none"), "must hold keys"),
        (("--keys", "keys", "--log", "elsewhere"), "has nothing of tone"),
    ],
)
def test_what_cannot_be_read_is_one_sentence(registry, log, options, says, capsys):
    assert log.listed("texts")
    assert run(registry, *options) == 2

    said = capsys.readouterr().err
    assert says in said
    assert said.count("\n") == 1


def test_a_family_that_is_not_there_is_named(registry, log, capsys):
    assert log.listed("texts")
    assert main(["live", "odd", "--registry", str(registry), "--log", "log"]) == 2
    assert "has no family 'odd': name one of tone" in capsys.readouterr().err
    assert set(read_registry(registry)) == {"tone"}


def test_a_report_that_cannot_be_written_is_one_sentence(registry, log, tmp_path, capsys):
    assert log.listed("texts")
    (tmp_path / "taken").write_text("a file")
    assert run(registry, "--keys", "keys", "--output", "taken") == 2
    assert "the report cannot be written into taken/tone: " in capsys.readouterr().err
    (tmp_path / "full/tone").mkdir(parents=True)
    (tmp_path / "full/tone/live.json").symlink_to("/dev/full")
    assert run(registry, "--keys", "keys", "--output", "full") == 2
    assert "into full/tone: [Errno 28] No space left" in capsys.readouterr().err
