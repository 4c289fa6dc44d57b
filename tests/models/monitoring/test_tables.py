"""The tables of a log that the server's writer wrote, read by all that reads tables of texts."""

import json
import random
import re
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from models.__main__ import main
from models.cascade import build as cascade_build
from models.cascade.text_sets import read_halves
from models.compression.user_texts import read_user_texts
from models.compression.wanted import Wanted
from models.data.bad_rows import BadRows
from models.data.labelled import LabelSet
from models.data.labels import names_in
from models.data.readers import read_rows
from models.data.section import DataSection
from models.data.sources import Source
from models.monitoring.log import read_log
from models.monitoring.tables import labelled_texts, logged_texts, write_labelled
from models.published.texts import Columns, read_texts
from serving.bundles.bundle import read_bundle
from serving.errors import StartError
from tests.support.bundles import write_bundle
from tests.support.text_logs import LABELS, START_S, feedback_row, text_row, write_log
from tests.support.tone_family import cascade_options, measured, text_and_label, write_tone

ODD = 'good "film",\r\nplot; \u2028=1+1\t\u202e 👍 '
FORMATS = pytest.mark.parametrize("suffix", ["csv", "jsonl"])


@pytest.fixture(scope="module")
def tone(tmp_path_factory):
    home = tmp_path_factory.mktemp("tone")
    write_tone(home)
    return home


@pytest.fixture(autouse=True)
def its_build(tone, monkeypatch):
    monkeypatch.setattr("models.__main__.BUILD", tone / "build")


@pytest.fixture(scope="module")
def log(tmp_path_factory):
    """Two thousand texts as `tone` is used to, and the right label of each."""
    chosen = random.Random(1)
    rows = [text_and_label(chosen) for _ in range(2000)]
    texts = [text_row(str(n), text, 0.7) for n, (text, _) in enumerate(rows)]
    right = [feedback_row(str(n), "positive", LABELS[label]) for n, (_, label) in enumerate(rows)]
    return write_log(tmp_path_factory.mktemp("log") / "log", texts, right)


def live(tone, log, *options):
    paths = ["--registry", str(tone / "registry"), "--output", str(tone / "reports")]
    return main(["live", "tone", "--log", str(log), *paths, *map(str, options)])


@FORMATS
def test_a_log_s_labelled_texts_calibrate_a_cascade_and_decisions(
    tone, log, tmp_path, suffix, capsys
):
    labelled, texts = tmp_path / f"labelled.{suffix}", tmp_path / f"texts.{suffix}"
    assert live(tone, log, "--labelled", labelled, "--unlabelled", texts) == 0
    assert "That is every logged text: a random sample" in capsys.readouterr().out

    for loss, table in (("accuracy", labelled), ("agreement", texts)):
        options = cascade_options(tone, recalibrate=table)
        target = options.target.model_copy(update={"loss": loss})
        cascade_build.run(replace(options, target=target), tone / "reports", measured)
        assert "the guarantee is for traffic of which these texts are a random sample" in (
            capsys.readouterr().out
        )
        assert json.loads((tone / "registry/tone/cascade.json").read_text())["n"] == 1000
    paths = ["--registry", str(tone / "registry"), "--output", str(tone / "reports")]
    limit = ["--label", "positive", "--max-false-positive-rate", "0.2", "--engine", "onnxruntime"]
    assert main(["decide", "tone", *limit, "--recalibrate", str(labelled), *paths]) == 0
    said = capsys.readouterr().out
    assert "the guarantee is for traffic of which these texts are a random sample" in said
    assert "chosen by 1,000 texts" in said


@FORMATS
@pytest.mark.parametrize("several", [False, True])
def test_every_reader_reads_back_what_was_logged(tmp_path, suffix, several):
    kind = "multi_label" if several else "single_label"
    write_bundle(tmp_path / "bundle", problem_type=kind)
    bundle = read_bundle(tmp_path / "bundle")
    given = [["negative"], ["positive"], ["positive"]]
    if several:
        given = [["negative", "positive"], [], ["positive"]]
    texts = [text_row(str(n), f"{ODD}{n}", 0.7) for n in range(3)]
    feedback = [feedback_row(str(n), "positive", "") | {"right": given[n]} for n in range(3)]
    log = read_log(str(write_log(tmp_path / "log", texts, feedback)), None, "tone", 100)
    path = tmp_path / f"labelled.{suffix}"
    found = labelled_texts(log, bundle.manifest)

    write_labelled(path, found.texts, bundle.manifest)

    wanted = {f"{ODD}{n}".strip(): tuple(sorted(given[n])) for n in range(3)}
    assert path.stat().st_mode & 0o777 == 0o600
    evaluated = read_texts([path], Columns(("text",), "label"), bundle)
    assert dict(zip(evaluated.texts, evaluated.names, strict=True)) == wanted
    labels = LabelSet(tuple(LABELS), kind)
    for half in read_halves(path, labels, "accuracy"):
        for text, has in zip(half.texts, half.truth, strict=True):
            names = tuple(name for name, its in zip(LABELS, has, strict=True) if its)
            assert names == wanted[text]
    section = DataSection(files=(str(path),), problem_type=kind, separator="," if several else None)
    bad = BadRows()
    recipe = read_rows(
        Source(path), ["text", "label"],
        lambda row: (row.cells["text"].strip(), names_in(row.cells["label"], section, row.where)),
        bad,
    )  # fmt: skip
    assert dict(recipe) == wanted
    bad.check()
    if not several:
        compressed = read_user_texts(
            Wanted("source", (path,), "tone", tmp_path / "recipes", tmp_path / "registry")
        )
        assert compressed.labels == {"negative": 1, "positive": 2}


def test_pairs_have_two_columns_that_evaluate_reads(tmp_path):
    write_bundle(tmp_path / "bundle", pairs=True)
    bundle = read_bundle(tmp_path / "bundle")
    texts = [text_row("1", "good", 0.7, text_pair="bad film"), text_row("2", "single", 0.7)]
    feedback = [feedback_row(each, "positive", "negative") for each in ("1", "2")]
    log = read_log(str(write_log(tmp_path / "log", texts, feedback)), None, "tone", 100)
    path = tmp_path / "pairs.csv"

    write_labelled(path, labelled_texts(log, bundle.manifest).texts, bundle.manifest)

    read = read_texts([path], Columns(("text", "text_pair"), "label"), bundle)
    assert read.texts == [("good", "bad film")]


@pytest.mark.parametrize("sampled", [("first",), ("second",), ("first", "second")])
def test_feedback_on_an_id_that_was_used_twice_is_on_the_text_it_was_given_on(tmp_path, sampled):
    at_s = {"first": START_S, "second": START_S + 20}
    texts = [text_row("again", text, 0.7, at_s=at_s[text]) for text in sampled]
    feedback = [
        feedback_row(
            "again", "positive", label, at_s=START_S + 30,
            answered=datetime.fromtimestamp(at_s[text], UTC),
        )
        for text, label in (("first", "negative"), ("second", "positive"))
    ]  # fmt: skip
    write_bundle(tmp_path / "bundle")
    log = read_log(str(write_log(tmp_path / "log", texts, feedback)), None, "tone", 10)

    found = labelled_texts(log, read_bundle(tmp_path / "bundle").manifest)

    right = {"first": ("negative",), "second": ("positive",)}
    assert sorted(found.texts) == [(text, right[text]) for text in sampled]
    assert found.textless == 2 - len(sampled)


def test_only_the_feedback_on_a_text_labels_it(tmp_path):
    """An id that was used again, a label of another version, a text that was not sampled."""
    write_bundle(tmp_path / "bundle")
    manifest = read_bundle(tmp_path / "bundle").manifest
    texts = [
        text_row("again", "before", 0.7, at_s=START_S),
        text_row("again", "after", 0.7, at_s=START_S + 20),
        text_row("renamed", "renamed", 0.7),
        text_row("blank", " \n", 0.7),
        text_row("none", "nothing was said of it", 0.7),
        text_row("nul", "a\0b", 0.7),
    ]
    feedback = [
        feedback_row("again", "positive", "negative", at_s=START_S + 10),
        feedback_row("renamed", "positive", "neutral"),
        feedback_row("blank", "positive", "negative"),
        feedback_row("not sampled", "positive", "negative"),
        feedback_row("nul", "positive", "negative"),
    ]
    log = read_log(str(write_log(tmp_path / "log", texts, feedback)), None, "tone", 100)

    found = labelled_texts(log, manifest)

    assert set(found.texts) == {("before", ("negative",)), ("a\0b", ("negative",))}
    assert (found.unknown, found.textless) == (1, 1)
    assert sorted(logged_texts(log, manifest)) == [
        "a\0b", "after", "before", "nothing was said of it", "renamed",
    ]  # fmt: skip
    write_labelled(tmp_path / "nul.csv", found.texts, manifest)
    first, second = read_halves(
        tmp_path / "nul.csv", LabelSet(tuple(LABELS), "single_label"), "accuracy"
    )
    assert {*first.texts, *second.texts} == {"before", "a\ufffdb"}


def test_a_comma_in_a_label_is_refused_where_commas_separate(tmp_path):
    write_bundle(tmp_path / "bundle", problem_type="multi_label")
    manifest = read_bundle(tmp_path / "bundle").manifest
    manifest = manifest.model_copy(update={"labels": ["bad, or worse", "good"]})

    with pytest.raises(StartError, match=r"'bad, or worse' has one: write \.jsonl"):
        write_labelled(tmp_path / "a.csv", [("text", ("good",))], manifest)
    write_labelled(tmp_path / "a.jsonl", [("text", ("bad, or worse",))], manifest)
    assert json.loads((tmp_path / "a.jsonl").read_text())["label"] == ["bad, or worse"]


def test_chosen_texts_are_called_no_random_sample(tone, tmp_path, capsys):
    texts = [text_row(str(n), f"good film {n}", 0.7) for n in range(10)]
    log = write_log(tmp_path / "log", texts, [feedback_row("1", "positive", "negative")])

    assert live(tone, log, "--labelled", tmp_path / "labelled.jsonl") == 0

    said = capsys.readouterr().out
    assert "That is 1 of 10 logged texts, chosen by those who gave feedback: no random" in said


@pytest.mark.parametrize("given", ["labelled.parquet", "labelled"])
def test_another_kind_of_file_is_refused(tone, tmp_path, capsys, given):
    with pytest.raises(SystemExit):
        live(tone, tmp_path, "--labelled", Path(given))
    assert re.search(r"ends neither in \.csv nor in \.jsonl", capsys.readouterr().err)
