"""The arguments of `refresh`, and what is wrong with them."""

import pytest

from models.__main__ import main
from tests.support.text_logs import feedback_row, text_row, write_log
from tests.support.tone_family import write_tone


@pytest.fixture(scope="module")
def tone(tmp_path_factory):
    """The family `tone`, and a log with feedback."""
    home = tmp_path_factory.mktemp("tone")
    write_tone(home)
    write_log(
        home / "log", [text_row("1", "good", 0.7)], [feedback_row("1", "positive", "negative")]
    )
    return home


def refresh(*options, family="tone"):
    given = ["--registry", "registry", "--log", "log", "--recipes", "recipes", *options]
    return main(["refresh", family, *given])


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
    tone, monkeypatch, capsys, options, reason
):
    monkeypatch.chdir(tone)

    assert refresh(*options) == 2

    said = capsys.readouterr().err.splitlines()
    assert reason in said[-1]
    assert not (tone / "build/refresh/tone/record.json").exists()
    assert not (tone / "registry/tone/traffic.json").exists()


def test_a_family_has_a_name(tone, monkeypatch, capsys):
    monkeypatch.chdir(tone)

    assert refresh(family="../tone") == 2
    assert "../tone: write the name of a family of registry" in capsys.readouterr().err


def test_a_broken_record_is_named(tone, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "build/refresh/tone"
    folder.mkdir(parents=True)
    (folder / "record.json").write_text("{")

    assert refresh("--registry", str(tone / "registry")) == 2
    assert "record.json: the file: Invalid JSON" in capsys.readouterr().err
