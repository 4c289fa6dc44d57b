"""`compress` of an exported graph, without training: as a file and a folder, labels or none."""

import csv
import random
import sys

import pytest
from transformers import BertConfig

from models.__main__ import main
from models.evaluation.predictions import Predictor
from serving.bundles.bundle import read_bundle
from serving.bundles.registry import read_registry
from tests.support.exported_folders import SHAPE, WORDS, export_folder

pytestmark = pytest.mark.filterwarnings("ignore")  # what the libraries deprecate in themselves

NAMES = ("calm", "angry", "sad")


def texts():
    drawn = random.Random(0)
    return [" ".join(drawn.choices(WORDS, k=drawn.randint(2, 9))) for _ in range(60)]


def write_csv(path, header, rows):
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([header, *rows])
    return path


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """A folder whose name a shell must be told about, with the graph of several labels."""
    folder = tmp_path_factory.mktemp("sources") / "Größe & Maß"
    config = BertConfig(
        **SHAPE, id2label=dict(enumerate(NAMES)), problem_type="multi_label_classification"
    )
    export_folder(folder, config)
    (folder / "model.safetensors").unlink()
    return folder


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    """A working folder, and one number format, so that it is quick."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("models.compression.command._schemes", lambda: ("int8-dynamic",))
    return tmp_path


def compress(*arguments):
    return main(["compress", *map(str, arguments)])


def bundles(registry, family):
    return {each.manifest.variant: each for each in read_registry(registry)[family]}


def test_a_graph_and_texts_without_labels_are_compared_with_the_original_itself(
    exported, here, capsys
):
    table = write_csv(here / "Fragen für Übung.csv", ["text"], [[text] for text in texts()])
    registry = here / "reg ü"

    options = ("--data", table, "--registry", registry)
    assert compress(exported / "model.onnx", *options, "--max-drop", "0.3") == 0

    found = bundles(registry, "fragen-fur-ubung")
    assert set(found) == {"original", "original-int8-dynamic"}
    assert found["original"].manifest.agreement.share.value == 1
    said = capsys.readouterr().out
    assert "| original | " in said.split("drop, points")[1]
    assert said.strip().splitlines()[-1] == (
        f"Next: SIZEWISE_REGISTRY='{registry}' SIZEWISE_VARIANTS=original-int8-dynamic "
        "python -m serving"
    )

    assert compress(exported, *options, "--latency-ms", "1e-6") == 0
    said = capsys.readouterr().out
    assert "No variant" in said
    assert said.strip().endswith(f"Next: SIZEWISE_REGISTRY='{registry}' python -m serving")


def test_a_run_that_stopped_after_the_import_goes_on(exported, here, monkeypatch):
    table = write_csv(here / "texts.csv", ["text"], [[text] for text in texts()])
    with monkeypatch.context() as stopped:
        stopped.setattr("models.compression.exported.quantize", lambda *_, **__: sys.exit(1))
        with pytest.raises(SystemExit):
            compress(exported, "--data", table)
    version = bundles(here / "build/registry", "texts")["original"].manifest.version

    assert compress(exported, "--data", table) == 0

    found = bundles(here / "build/registry", "texts")
    assert found["original"].manifest.version == version
    assert found["original-int8-dynamic"].manifest.agreement.version == version


@pytest.fixture(scope="module")
def labelled(exported, tmp_path_factory):
    """Rows of text and labels, as the graph itself answers."""
    registry = tmp_path_factory.mktemp("answers")
    assert main(["import", str(exported), "--family", "mood", "--variant", "original",
                 "--registry", str(registry)]) == 0  # fmt: skip
    logits = Predictor(read_bundle(registry / "mood/original")).logits(texts())
    return [
        (text, [name for name, is_there in zip(NAMES, row > 0, strict=True) if is_there])
        for text, row in zip(texts(), logits, strict=True)
    ]


def test_several_labels_a_cell_are_divided_by_the_separator(exported, labelled, here, capsys):
    rows = [(text, "; ".join(names)) for text, names in labelled]
    assert any(";" in cell for _, cell in rows)
    table = write_csv(here / "moods.csv", ["text", "moods"], rows)
    options = ("--data", table, "--label", "moods")

    assert compress(exported, *options) == 2
    assert "looks like several: add --separator ';'" in capsys.readouterr().err

    assert compress(exported, *options, "--separator", ";") == 0
    found = bundles(here / "build/registry", "moods")
    assert found["original"].manifest.judged.accuracy.value == 1

    write_csv(table, ["text", "moods"], [*rows, ("one more", "calm; merry")])
    assert compress(exported, *options, "--separator", ";") == 2
    said = capsys.readouterr().err
    assert "moods.csv, line 62: 'merry' is not one of the family's labels" in said


def test_what_cannot_be_compressed_is_said_in_a_sentence(exported, labelled, here, capsys):
    def said():
        return capsys.readouterr().err.strip().splitlines()[-1]

    other = write_csv(here / "other.csv", ["text", "label"], [(t, "good") for t, _ in labelled])
    assert compress(exported, "--data", other) == 2
    assert f"{exported} answers calm, angry, sad, but the texts are labelled good" in said()
    assert not (here / "build/registry").exists()

    table = write_csv(here / "texts.csv", ["text"], [[text] for text, _ in labelled])
    assert compress(exported, "--data", table) == 0
    smaller = here / "build/registry/texts/original-int8-dynamic"
    assert compress(smaller, "--data", table, "--family", "again") == 2
    assert said() == f"{smaller} is int8: give the graph in fp32"
    empty = write_csv(here / "empty.csv", ["text"], [["a text"], [""]])
    assert compress(exported, "--data", empty, "--family", "again") == 2
    assert "empty text" in said()
    assert not (here / "build/registry/again/original").exists()

    second = here / "several"
    second.mkdir()
    for path in exported.iterdir():
        (second / path.name).symlink_to(path)
    (second / "model_quantized.onnx").symlink_to(exported / "model.onnx")
    assert compress(second, "--data", table) == 2
    assert "2 graphs (model.onnx, model_quantized.onnx): choose one with SOURCE" in said()

    assert compress(exported, "--data", table, "--registry", table) == 2
    assert "texts.csv" in (sentence := said())
    assert "make it readable and writable, or name another folder" in sentence
