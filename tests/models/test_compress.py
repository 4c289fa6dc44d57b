"""The command on a tiny base model, from the texts to the advice."""

import contextlib
import io
import json
import os
import re
import shutil
import signal
import subprocess
import sys

import pytest
import torch
from transformers import AutoModelForSequenceClassification

from models.__main__ import main
from models.compression.advice import Advice
from models.data.labelled import read_labels, read_unlabelled
from serving.bundles.registry import read_registry
from tests.support.processes import ROOT, serving
from tests.support.registries import wait_for
from tests.support.tiny_models import write_sources

pytestmark = pytest.mark.filterwarnings("ignore")  # what the libraries deprecate in themselves


@pytest.fixture(scope="module")
def sources(tmp_path_factory):
    """`base/`, and labelled and unlabelled tables of its sentences."""
    folder = write_sources(tmp_path_factory.mktemp("sources"))
    rows = [
        json.loads(line)
        for name in ("movies", "products")
        for line in (folder / f"sentences/{name}.jsonl").read_text().splitlines()
    ]
    labelled = [
        {"text": row["text"], "label": "good" if row["rating"] > 0 else "bad"} for row in rows
    ]
    for name, keys in (("labelled", ("text", "label")), ("unlabelled", ("text",))):
        lines = (json.dumps({key: row[key] for key in keys}) + "\n" for row in labelled)
        (folder / f"{name}.jsonl").write_text("".join(lines))
    return folder


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def compress(sources, *arguments):
    return main(["compress", *(str(each).format(sources) for each in arguments)])


# It takes 20 seconds: so much time is given that no machine is too slow for one of the variants.
BASE = (
    "{}/base", "--data", "{}/labelled.jsonl", "--family", "tone", "--max-drop", "0.3",
    "--minutes", "60",
)  # fmt: skip


@pytest.fixture(scope="module")
def made(sources, tmp_path_factory):
    """The working folder of a run on labelled texts, and what the run said."""
    home = tmp_path_factory.mktemp("made")
    said = io.StringIO()
    with contextlib.chdir(home), contextlib.redirect_stdout(said):
        assert compress(sources, *BASE) == 0
    return home, said.getvalue()


def test_a_base_model_and_labels_become_a_family_that_the_printed_command_serves(made):
    home, said = made
    variants = {each.manifest.variant for each in read_registry(home / "build/registry")["tone"]}
    assert {"teacher-fp32", "teacher-int8", "static-fp32", "tiny-int8"} <= variants
    assert (home / "recipes/tone/teacher-fp32.toml").is_file()
    assert (home / "reports/tone/scaling.png").is_file()
    assert "labelled rows, all" in said
    *settings, _, module, program = re.search(r"Next: (.*)", said)[1].split()
    assert (module, program) == ("-m", "serving")
    named = dict(each.split("=") for each in settings if "=" in each)
    advised = named.pop("SIZEWISE_VARIANTS")
    assert f"Advice: {advised}: " in said
    with serving(home / named["SIZEWISE_REGISTRY"], variants=advised) as server:
        (result,) = server.classify({"texts": ["the film was superb, a warm mov."]}).json()[
            "results"
        ]
    assert (result["variant"], result["label"]) == (advised, "good")


def test_what_is_made_already_is_not_made_again(made, sources, capsys):
    home, _ = made
    with contextlib.chdir(home):
        assert compress(sources, *BASE) == 0

    said = capsys.readouterr().out
    assert "teacher-fp32: train is up to date" in said
    assert "teacher-fp32: evaluate is up to date" in said


def test_formats_alone_train_nothing_though_the_base_was_looked_at_before(made, sources, capsys):
    home, _ = made
    with contextlib.chdir(home):
        assert compress(sources, *BASE, "--formats-only") == 2

    assert "--formats-only: teacher-fp32 would be trained: leave it out" in capsys.readouterr().err


def test_texts_that_a_classifier_answers_alike_are_refused_as_what_they_are(
    made, sources, here, capsys
):
    classifier = here / "classifier"
    shutil.copytree(made[0] / "build/tone/teacher-fp32/train", classifier)
    model = AutoModelForSequenceClassification.from_pretrained(classifier)
    model.classifier.bias.data = torch.tensor([-50.0, 50.0])
    model.save_pretrained(classifier)

    assert compress(sources, classifier, "--data", "{}/unlabelled.jsonl", "--family", "mood") == 2

    said = "unlabelled.jsonl: the classifier answers 'good' to every text: add texts that it answer"
    assert said in capsys.readouterr().err


def test_a_classifier_and_texts_without_labels_become_a_family_measured_by_agreement(
    made, sources, here, capsys
):
    classifier = made[0] / "build/tone/teacher-fp32/train"
    arguments = (
        classifier, "--data", "{}/unlabelled.jsonl", "--family", "mood", "--max-drop", "0.3",
        "--formats-only", "--minutes", "60",
    )  # fmt: skip
    assert compress(sources, *arguments) == 0
    said = capsys.readouterr().out

    for bundle in read_registry(here / "build/registry")["mood"]:
        assert not bundle.manifest.evaluations, "there is no accuracy without labels"
        if bundle.manifest.variant != "teacher-fp32":
            assert bundle.manifest.agreement.share.value > 0.5
    assert "agreement" in said


def test_texts_that_an_earlier_build_has_drawn_are_divided_anew(made, sources, here, capsys):
    drawn = (made[0] / "build/tone/teacher-fp32/data/train.jsonl").read_text()
    (here / "drawn.jsonl").write_text(drawn)
    arguments = ("--data", "drawn.jsonl", "--family", "mood", "--formats-only", "--minutes", "60")

    assert compress(sources, made[0] / "build/tone/teacher-fp32/train", *arguments) == 0

    said = capsys.readouterr().out
    assert re.search("the seed '0' draws 0 of .* texts or groups for test, although", said)
    assert 'seed = "1"' in (here / "recipes/mood/teacher-fp32.toml").read_text()
    data = here / "build/mood/teacher-fp32/data"
    assert all((data / f"{split}.jsonl").read_text() for split in ("train", "validation", "test"))


def test_students_learn_from_more_texts_whose_labels_nobody_reads(
    sources, here, monkeypatch, capsys
):
    """The table has a label that the family does not know, and every text of the other one."""
    rows = [json.loads(line) for line in (sources / "labelled.jsonl").read_text().splitlines()]
    texts = ["a text of nobody else's", *(row["text"] for row in rows)]
    more = here / "more.jsonl"
    more.write_text("".join(json.dumps({"text": each, "label": "odd"}) + "\n" for each in texts))
    monkeypatch.setattr("models.compression.command.Run.make_all", lambda _run: None)
    monkeypatch.setattr(
        "models.compression.command.finish", lambda *_, **__: Advice(None, "nothing was made")
    )
    monkeypatch.setattr("models.compression.command.make_cascade", lambda *_: "twice as fast")

    assert compress(sources, *BASE, "--more", more) == 0

    said = capsys.readouterr().out
    advice, cascade, after = said.splitlines()[-3:]
    assert (advice, after.split()[0]) == ("Advice: nothing was made", "Next:")
    assert cascade.startswith("Or a cascade of twice as fast. SIZEWISE_REGISTRY=")

    folder = here / "build/tone/teacher-fp32/data"
    assert read_unlabelled(folder) == ["a text of nobody else's"]
    assert set(read_labels(folder).names) == {"bad", "good"}


def test_rows_that_cannot_be_used_are_named_before_anything_is_timed(
    sources, here, capsys, monkeypatch
):
    monkeypatch.setattr(
        "models.compression.look.training_seconds", lambda *_: pytest.fail("it was timed")
    )
    rows = [json.loads(line) for line in (sources / "labelled.jsonl").read_text().splitlines()]
    rows[1]["label"], rows[3]["text"], rows[4]["label"] = "", " ", "nan"
    (here / "mine.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))

    assert compress(sources, "{}/base", "--data", here / "mine.jsonl") == 2

    said = capsys.readouterr().err.splitlines()
    assert said[0] == "3 rows cannot be used:"
    assert {line.rpartition("line ")[2].partition(":")[0] for line in said[1:]} == {"2", "4", "5"}
    assert "--missing unlabelled" in "".join(said)


def test_a_run_that_was_killed_goes_on(sources, here):
    command = [sys.executable, "-m", "models", "compress"]
    command += [each.format(sources) for each in BASE]
    environ = os.environ | {"PYTHONPATH": str(ROOT)}
    environ.pop("TRANSFORMERS_VERBOSITY", None)  # set by what ran in this process
    trained = here / "build/tone/teacher-fp32/train"
    with (
        (here / "said").open("w") as said,
        subprocess.Popen(command, env=environ, stdout=said, stderr=said) as process,
    ):
        wait_for(trained.is_dir, seconds=100)
        process.send_signal(signal.SIGKILL)
    first = (here / "said").read_text()
    assert f"Timing {sources}/base on these texts" in first
    assert "LOAD REPORT" not in first, "its new head is meant to be new"
    stamp = (trained / "stamp.json").read_text()

    done = subprocess.run(command, env=environ, capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stderr
    assert (trained / "stamp.json").read_text() == stamp
    assert "teacher-fp32: train is up to date" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (("{}/none", "--data", "{}/labelled.jsonl"), "does not exist: give a folder"),
        (("{}/base", "--data", "{}/none.csv"), "none.csv does not exist"),
        (("{}/labelled.jsonl", "--data", "{}/base"), "base is a model's folder: name a table"),
        (("{}/base", "--data", "{}/labelled.jsonl", "--text", "body"), "body"),
        (("{}/base", "--data", "{}/labelled.jsonl", "--label", "topic"), "topic"),
        (("{}/base", "--data", "{}/labelled.jsonl", "--max-bytes", "lots"), "--max-bytes lots"),
        (("{}/base", "--data", "{}/labelled.jsonl", "--family", "A b"), "--family A b"),
    ],
)
def test_what_cannot_be_done_is_said_in_a_sentence(sources, capsys, arguments, reason):
    assert compress(sources, *arguments) == 2

    said = capsys.readouterr().err.strip().splitlines()[-1]
    assert reason in said
