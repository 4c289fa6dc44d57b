"""`evaluate` and `quantize` of imported families, by the commands that users give."""

import json
import shutil
import subprocess
import sys

import numpy as np
import onnx
import pytest
from transformers import BertConfig

from models.__main__ import main
from models.evaluation.predictions import Predictor
from models.graphs.import_bundle import import_folder
from serving.bundles.bundle import read_bundle, verify
from serving.bundles.ranking import best
from serving.bundles.registry import read_registry
from tests.support.bundles import write_tensor_bundle
from tests.support.exported_folders import SHAPE, WORDS, export_folder

# ONNX Runtime's tools import torch where it is installed, so it is hidden.
WITHOUT_TORCH = """
import sys
from importlib.machinery import PathFinder
class Hiding(PathFinder):
    @classmethod
    def find_spec(cls, name, path=None, target=None):
        hidden = name.split(".")[0] in {"torch", "transformers"}
        return None if hidden else PathFinder.find_spec(name, path, target)
sys.meta_path[:] = [Hiding if each is PathFinder else each for each in sys.meta_path]
from models.__main__ import main
status = main(sys.argv[1:])
assert not {"torch", "transformers"} & set(sys.modules)
sys.exit(status)
"""
pytestmark = pytest.mark.filterwarnings("ignore")  # what the libraries deprecate in themselves

LEAST_CORRELATION = {"int8-dynamic": 0.99, "int8-static": 0.99, "int4": 0.8, "fp16": 0.9999}
SCHEMES = tuple(LEAST_CORRELATION)
NAMES = ["calm", "angry", "sad"]


def labelled_config(**fields):
    id2label = dict(enumerate(NAMES))
    return BertConfig(**SHAPE, id2label=id2label, **fields)


@pytest.fixture(scope="module")
def imported(tmp_path_factory):
    """Registries with the family `mood` of one imported variant `base`, by kind."""
    made = {}
    for kind, fields, options in (
        ("packed", {}, {}),
        ("padded", {}, {"as_is": True}),
        ("multi", {"problem_type": "multi_label_classification"}, {}),
        ("pairs", {}, {"pairs": True}),
    ):
        folder = tmp_path_factory.mktemp(kind)
        export_folder(folder / "exported", labelled_config(**fields))
        import_folder(folder / "exported", "mood", "base", folder / "registry", **options)
        made[kind] = folder / "registry"
    return made


@pytest.fixture
def registry(imported, tmp_path):
    def copied(kind):
        return shutil.copytree(imported[kind], tmp_path / "registry")

    return copied


def rows_of(count=90):
    chosen = np.random.default_rng(1)
    return [" ".join(chosen.choice(WORDS, chosen.integers(2, 9))) for _ in range(count)]


def write_table(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def run(*arguments):
    return main([str(each) for each in arguments])


def variants(registry):
    found = {each.manifest.variant: each for each in read_registry(registry)["mood"]}
    for each in found.values():
        verify(each)
    return found


def answers(bundle, texts):
    logits = Predictor(bundle).logits(texts)
    if bundle.manifest.problem_type == "multi_label":
        return [[NAMES[i] for i in np.flatnonzero(row >= 0)] for row in logits]
    return [NAMES[i] for i in logits.argmax(axis=1)]


@pytest.mark.parametrize("kind", ["packed", "padded", "multi", "pairs"])
def test_labels_give_the_measured_accuracy_of_a_version_that_stays(registry, tmp_path, kind):
    folder = registry(kind)
    before = variants(folder)["base"]
    texts = rows_of(30)
    pairs = list(zip(texts, reversed(texts), strict=True)) if kind == "pairs" else texts
    labels = answers(before, pairs)
    wrong = NAMES[1:] if kind == "multi" else NAMES[(NAMES.index(labels[0]) + 1) % 3]
    labels[0] = NAMES if kind == "multi" and labels[0] != NAMES else wrong
    rows = [{"text": t, "other": o, "label": la}
            for t, o, la in zip(texts, reversed(texts), labels, strict=True)]  # fmt: skip
    table = write_table(tmp_path / "a.jsonl", rows)
    columns = ("--text", "text", "--text", "other") if kind == "pairs" else ()

    assert run("evaluate", "mood", "--data", table, *columns, "--registry", folder) == 0

    after = variants(folder)["base"]
    assert after.manifest.judged.accuracy.value == pytest.approx(29 / 30)
    assert after.manifest.judged.n == 30
    assert after.manifest.version == before.manifest.version
    assert "96.7" in (after.folder / "README.md").read_text()
    assert not (folder / "mood" / "base@previous").exists()


@pytest.mark.parametrize("kind", ["packed", "padded", "multi"])
def test_every_number_format_is_published_beside_it_with_its_agreement(registry, tmp_path, kind):
    folder = registry(kind)
    table = write_table(tmp_path / "a.jsonl", [{"text": text} for text in rows_of()])
    options = ("--data", table, "--registry", folder)

    assert run("quantize", "mood/base", "--scheme", *SCHEMES, *options) == 0

    found = variants(folder)
    assert set(found) == {"base", *(f"base-{scheme}" for scheme in SCHEMES)}
    for scheme in SCHEMES:
        manifest = found[f"base-{scheme}"].manifest
        assert manifest.precision == scheme.partition("-")[0]
        assert manifest.parent == "base"
        assert manifest.bytes < found["base"].manifest.bytes
        assert manifest.agreement.variant == "base"
        assert manifest.agreement.n < 90
        before, after = (Predictor(found[name]).logits(rows_of(30))
                         for name in ("base", f"base-{scheme}"))  # fmt: skip
        assert np.corrcoef(before.ravel(), after.ravel())[0, 1] > LEAST_CORRELATION[scheme]
    assert best(each.manifest for each in found.values()) == "base"


def kinds_of(bundle):
    return [node.op_type for node in onnx.load(bundle.model_path).graph.node]


def test_fused_attention_is_split_so_that_int4_and_static_int8_reach_its_weights(
    registry, tmp_path
):
    folder = registry("packed")
    table = write_table(tmp_path / "a.jsonl", [{"text": text} for text in rows_of()])
    assert "Attention" in kinds_of(variants(folder)["base"])

    options = ("--data", table, "--registry", folder)
    assert run("quantize", "mood/base", "--scheme", "int4", "int8-static", *options) == 0

    kinds = kinds_of(variants(folder)["base-int4"])
    assert "MatMul" not in kinds
    assert kinds.count("MatMulNBits") == 2 * 6 + 2
    assert kinds_of(variants(folder)["base-int8-static"]).count("QuantizeLinear") > 6


def test_openvinos_int8_is_published_too(registry, tmp_path):
    folder = registry("packed")
    table = write_table(tmp_path / "a.jsonl", [{"text": text} for text in rows_of(40)])

    options = ("--data", table, "--registry", folder)
    assert run("quantize", "mood/base", "--scheme", "int8-openvino", *options) == 0

    assert variants(folder)["base-int8-openvino"].model_path.suffix == ".xml"


def test_with_labels_number_formats_and_their_original_get_an_accuracy(registry, tmp_path):
    folder = registry("packed")
    texts = rows_of()
    labels = answers(variants(folder)["base"], texts)
    rows = [{"text": t, "mood": la} for t, la in zip(texts, labels, strict=True)]
    table = write_table(tmp_path / "a.jsonl", rows)

    options = ("--data", table, "--label", "mood", "--registry", folder)
    assert run("quantize", "mood/base", "--scheme", "int8-dynamic", *options) == 0

    found = variants(folder)
    assert found["base"].manifest.judged.accuracy.value == 1
    judged = found["base-int8-dynamic"].manifest.judged
    assert judged.split_sha256 == found["base"].manifest.judged.split_sha256
    assert set(judged.versus) == {"base"}
    assert judged.n < len(texts)


@pytest.mark.parametrize(("texts", "is_said"), [(["good film"] * 5, True), (rows_of(), False)])
def test_texts_that_all_get_one_answer_are_said(registry, tmp_path, capsys, texts, is_said):
    table = write_table(tmp_path / "a.jsonl", [{"text": text} for text in texts])
    options = ("--data", table, "--registry", registry("packed"))

    assert run("evaluate", "mood", "--agreement-with", "base", *options) == 0

    assert ("which all get one answer" in capsys.readouterr().out) == is_said


def test_agreement_of_a_family_with_one_of_its_variants_needs_no_labels(registry, tmp_path, capsys):
    folder = registry("packed")
    table = write_table(tmp_path / "a.jsonl", [{"text": text} for text in rows_of()])
    options = ("--data", table, "--registry", folder)
    run("quantize", "mood/base", "--scheme", "fp16", *options)

    assert run("evaluate", "mood", "--agreement-with", "base", *options) == 0

    found = variants(folder)
    assert found["base"].manifest.agreement.share.value == 1
    assert found["base-fp16"].manifest.agreement.n == 90
    said = capsys.readouterr().out
    assert "The default of mood is base." in said
    assert said.splitlines()[-1].startswith("Next: ")


def test_neither_command_needs_torch(registry, tmp_path):
    folder = registry("packed")
    table = write_table(tmp_path / "a.jsonl", [{"text": text} for text in rows_of()])
    options = ["--data", str(table), "--registry", str(folder)]

    for line in (
        ["quantize", "mood/base", "--scheme", *SCHEMES, *options],
        ["evaluate", "mood", "--agreement-with", "base", *options],
    ):
        done = subprocess.run(
            [sys.executable, "-c", WITHOUT_TORCH, *line],
            check=False, capture_output=True, text=True,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("evaluate moods", "has no family 'moods': name one of mood"),
        ("evaluate mood/small", "mood has no variant 'small': name one of base"),
        ("evaluate mood --agreement-with small", "mood has no variant 'small'"),
        ("evaluate mood --label mood", "no column 'mood'"),
        ("evaluate mood --text text --text other", "reads one text"),
        ("evaluate mood --label label --agreement-with base", "reads no labels"),
        ("evaluate mood", "'happy' is not one of the family's labels (calm, angry, sad)"),
        ("quantize mood --scheme int4", "'mood' is no bundle: write FAMILY/VARIANT"),
        ("quantize mood/base", "needs --scheme"),
        ("quantize mood/base --scheme int4", "has 1 different texts"),
    ],
)
def test_what_is_wrong_is_said_in_one_sentence_and_nothing_changes(
    registry, tmp_path, capsys, line, said
):
    folder = registry("packed")
    before = (folder / "mood" / "base" / "manifest.json").read_bytes()
    table = write_table(tmp_path / "a.jsonl", [{"text": "good film", "label": "happy"}])

    assert run(*line.split(), "--data", table, "--registry", folder) == 2

    refusal = capsys.readouterr().err
    assert said in refusal
    assert len(refusal.splitlines()) == 1
    assert (folder / "mood" / "base" / "manifest.json").read_bytes() == before


def test_missing_and_empty_files_and_models_without_texts_are_refused(registry, tmp_path, capsys):
    folder = registry("packed")
    (tmp_path / "empty.csv").write_text("")
    write_tensor_bundle(folder / "digits" / "mlp")

    for target, table, said in (
        ("mood", "missing.csv", "missing.csv does not exist"),
        ("mood", "empty.csv", "is empty"),
        ("digits", "empty.csv", "reads tensors"),
    ):
        assert run("evaluate", target, "--data", tmp_path / table, "--registry", folder) == 2
        assert said in capsys.readouterr().err


def test_a_scheme_that_fails_for_a_graph_fails_alone(registry, tmp_path, capsys):
    folder = registry("packed")
    shutil.copytree(folder / "mood" / "base", folder / "mood" / "base-int4")
    path = folder / "mood" / "base-int4" / "manifest.json"
    path.write_text(path.read_text().replace('"variant": "base"', '"variant": "base-int4"'))
    table = write_table(tmp_path / "a.jsonl", [{"text": text} for text in rows_of()])
    options = ("--data", table, "--registry", folder)

    assert run("quantize", "mood/base", "--scheme", "int4", "fp16", *options) == 0

    assert "int4 is left out: " in capsys.readouterr().err
    assert set(variants(folder)) == {"base", "base-int4", "base-fp16"}
    assert read_bundle(folder / "mood" / "base-int4").manifest.precision == "fp32"
