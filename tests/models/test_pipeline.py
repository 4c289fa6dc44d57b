"""The whole of models/ on a tiny base model, once; every test looks at what came out."""

import json
import shutil
import warnings
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from transformers import AutoModelForSequenceClassification

from models.data.labelled import read_split
from models.data.splits import normalised
from models.graphs.fusion import fuse
from models.pipeline import Pipeline
from models.recipe import STAGES, RecipeError, in_parent_order, lineage
from models.runners import RUNNERS
from models.stages import quantize
from models.stages.export import largest_difference
from serving.bundles.bundle import (
    CARD_NAME,
    CONFIG_NAME,
    MANIFEST_NAME,
    MODEL_NAME,
    TOKENIZER_NAME,
    file_sha256,
    read_bundle,
)
from serving.bundles.registry import publish, read_registry
from serving.errors import BundleError
from serving.inference.engine import Resources
from serving.inference.ort_engine import OrtEngine
from serving.inference.tokenizer import Tokenizer
from tests.support.sources import copy_sources
from tests.support.stage_doubles import broken, refusing, same_again, zeroed
from tests.support.tiny_models import write_sources
from tests.support.tiny_recipes import QUANTISED, TEACHER, write_recipes

VARIANTS = ("teacher-fp32", "student-fp32", "student-int8")
ALL_STAGES = [
    *(("teacher-fp32", it) for it in ("data", "inspect", "train", "export", "evaluate", "package")),
    *(("student-fp32", it) for it in ("distill", "export", "evaluate", "package")),
    *(("student-int8", it) for it in ("quantize", "evaluate", "package")),
]


@dataclass(frozen=True)
class Built:
    """A pipeline, its recipes, and the stages of the first build in order."""

    pipeline: Pipeline
    recipes: Path
    ran: list

    def folder_of(self, variant, stage):
        return self.pipeline.build / "tone" / variant / stage

    def copied_to(self, folder, **runners):
        """Copy the build and its recipes; stages in `runners` are run by these."""
        shutil.copytree(self.pipeline.build, folder / "build")
        shutil.copytree(self.recipes, folder / "recipes")
        pipeline = Pipeline(folder / "build", self.pipeline.downloads, RUNNERS | runners)
        return pipeline, folder / "recipes"


def make_all(pipeline, recipes):
    ran = []
    for path in in_parent_order(recipes):
        ancestors = tuple(lineage(path))
        ran += [
            (path.stem, stage) for stage in ancestors[-1].stages if pipeline.make(ancestors, stage)
        ]
    return ran


@pytest.fixture(scope="module", autouse=True)
def _libraries_may_warn():
    """What torch and transformers deprecate in themselves is not ours to fix."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    scratch = tmp_path_factory.mktemp("models")
    recipes = write_recipes(scratch / "recipes")
    pipeline = Pipeline(scratch / "build", write_sources(scratch / "sources"), RUNNERS)
    return Built(pipeline, recipes, make_all(pipeline, recipes))


@pytest.fixture(scope="module")
def family(built, tmp_path_factory):
    registry = tmp_path_factory.mktemp("registry")
    for variant in VARIANTS:
        publish(built.folder_of(variant, "package"), registry)
    return {b.manifest.variant: b for b in read_registry(registry)["tone"]}


def test_every_stage_runs_once_in_parent_order(built):
    assert built.ran == ALL_STAGES


def test_no_text_is_in_two_written_splits(built):
    folder = built.folder_of("teacher-fp32", "data")

    rows = {
        path.stem: [json.loads(line)["text"] for line in path.read_text().splitlines()]
        for path in folder.glob("*.jsonl")
    }

    assert set(rows) == {"train", "validation", "calibration", "test", "unlabelled"}
    assert all(rows.values())
    everything = [normalised(text) for texts in rows.values() for text in texts]
    assert len(everything) == len(set(everything))


def test_serving_answers_with_the_published_bundles_and_they_have_learnt(built, family):
    rows = read_split(built.folder_of("teacher-fp32", "data"), "test")

    for variant in VARIANTS:
        bundle = family[variant]
        tokenizer = Tokenizer(bundle.tokenizer_path, bundle.manifest.max_length)
        engine = OrtEngine(bundle, Resources("cpu", threads=1))
        logits = [engine.run([e])[0] for e in tokenizer.encode([row.text for row in rows])]
        right = np.mean(
            [(int(x.argmax()),) == row.labels for x, row in zip(logits, rows, strict=True)]
        )

        recorded = bundle.manifest.evaluations["test"]
        assert recorded.accuracy.value == pytest.approx(right)
        assert right >= 0.9


def test_the_manifest_says_what_was_made_and_how_well_it_does(built, family):
    manifest = family["student-int8"].manifest
    split = built.folder_of("teacher-fp32", "data") / "test.jsonl"

    assert manifest.precision == "int8"
    assert manifest.parent == "student-fp32"
    assert manifest.labels == ["negative", "positive"]
    assert manifest.max_length == 32
    assert manifest.recipe["quantize"] == {"scheme": "int8-dynamic", "max_accuracy_drop": 0.1}
    assert set(manifest.build_seconds) == {"quantize", "evaluate"}
    test = manifest.evaluations["test"]
    assert test.split_sha256 == file_sha256(split)
    assert test.n == len(split.read_text().splitlines())
    assert test.agreement is not None
    assert test.batch_flips is not None
    assert family["teacher-fp32"].manifest.evaluations["test"].agreement is None


def test_the_student_is_smaller_than_the_teacher_and_int8_smaller_than_fp32(family):
    teacher, student, quantized = (family[variant].manifest for variant in VARIANTS)

    assert student.parameters < teacher.parameters
    assert quantized.parameters == student.parameters
    assert quantized.files["model.onnx"].bytes < student.files["model.onnx"].bytes
    words = json.loads(family["student-fp32"].tokenizer_path.read_text())["model"]["vocab"]
    assert len(words) == 105


def test_the_embedding_table_is_int8(family):
    graph = onnx.load(family["student-int8"].model_path).graph

    tables = [t for t in graph.initializer if "word_embeddings" in t.name and len(t.dims) == 2]
    assert [t.data_type for t in tables] == [onnx.TensorProto.UINT8]


def test_a_second_run_skips_every_stage(built):
    assert make_all(built.pipeline, built.recipes) == []


@pytest.mark.parametrize(
    ("variant", "change", "expected"),
    [
        (
            "student-int8",
            ("max_accuracy_drop = 0.1", "max_accuracy_drop = 0.2"),
            [("student-int8", "quantize"), ("student-int8", "package")],
        ),
        (
            "student-fp32",
            ("tolerance = 1e-4", "tolerance = 2e-4"),
            [("student-fp32", "export"), ("student-fp32", "package")],
        ),
        (
            "student-fp32",
            ("epochs = 8", "epochs = 7"),
            [stage for stage in ALL_STAGES if stage[0] != "teacher-fp32"],
        ),
    ],
)
def test_a_changed_recipe_runs_only_what_it_changes(built, tmp_path, variant, change, expected):
    pipeline, recipes = built.copied_to(tmp_path)
    recipe = recipes / f"{variant}.toml"
    assert change[0] in recipe.read_text()
    recipe.write_text(recipe.read_text().replace(*change))

    assert make_all(pipeline, recipes) == expected


def test_a_changed_tool_runs_every_stage_that_uses_it_again_and_no_other(built, tmp_path):
    pipeline, recipes = built.copied_to(tmp_path, **dict.fromkeys(STAGES, same_again))
    pipeline = replace(pipeline, root=copy_sources(tmp_path / "code"))
    assert make_all(pipeline, recipes) == []
    tool = tmp_path / "code" / "models" / "training" / "architecture.py"

    tool.write_text(tool.read_text() + "\nADDED = 1\n")

    using = {"data", "inspect", "train", "distill", "export"}
    assert make_all(pipeline, recipes) == [step for step in ALL_STAGES if step[1] in using]


def test_a_damaged_output_is_made_again_and_the_rest_stays(built, tmp_path):
    pipeline, recipes = built.copied_to(tmp_path)
    model = pipeline.build / "tone" / "student-int8" / "quantize" / "model.onnx"
    original = model.read_bytes()
    model.write_bytes(original[:-1])

    assert make_all(pipeline, recipes) == [("student-int8", "quantize")]
    assert model.read_bytes() == original


def test_a_stage_that_fails_leaves_its_old_output_whole(built, tmp_path):
    pipeline, recipes = built.copied_to(tmp_path, quantize=broken)
    (recipes / "student-int8.toml").write_text(QUANTISED.replace("0.1", "0.3"))
    stamp = pipeline.build / "tone" / "student-int8" / "quantize" / "stamp.json"
    before = stamp.read_text()

    with pytest.raises(RuntimeError, match="on purpose"):
        make_all(pipeline, recipes)

    assert stamp.read_text() == before


def test_a_refusal_names_the_stage_s_folder_and_not_the_temporary_one(built, tmp_path):
    pipeline, recipes = built.copied_to(tmp_path, quantize=refusing)
    (recipes / "student-int8.toml").write_text(QUANTISED.replace("0.1", "0.3"))
    with pytest.raises(BundleError, match=r"/tone/student-int8/quantize/config\.json is of no use"):
        make_all(pipeline, recipes)


def test_a_missing_input_is_named_with_the_remedy(built, tmp_path):
    pipeline = Pipeline(tmp_path / "empty", built.pipeline.downloads, RUNNERS)

    with pytest.raises(RecipeError, match=r"train needs data .*`python -m models all .*recipes`"):
        pipeline.make(tuple(lineage(built.recipes / "teacher-fp32.toml")), "train")


def test_export_refuses_a_graph_that_differs_from_torch(built, tmp_path):
    pipeline, recipes = built.copied_to(tmp_path)
    strict = TEACHER.replace("tolerance = 1e-4", "tolerance = 1e-30")
    (recipes / "teacher-fp32.toml").write_text(strict)

    with pytest.raises(RecipeError, match="differ from torch's"):
        pipeline.make(tuple(lineage(recipes / "teacher-fp32.toml")), "export")


def test_the_parity_check_sees_a_changed_weight(built, family):
    model = AutoModelForSequenceClassification.from_pretrained(
        built.folder_of("student-fp32", "distill")
    ).eval()
    texts = ["the plot was dull", "a superb film"]
    assert largest_difference(model, family["student-fp32"], texts) < 1e-4

    with torch.no_grad():
        model.classifier.bias[0] += 0.01

    assert largest_difference(model, family["student-fp32"], texts) > 0.009


def test_export_refuses_a_graph_that_was_not_fused(built, tmp_path, family):
    config = AutoModelForSequenceClassification.from_pretrained(
        built.folder_of("student-fp32", "distill")
    ).config
    config.num_hidden_layers = 3

    with pytest.raises(RecipeError, match=r"has 1 Attention instead of 3"):
        fuse(family["student-fp32"].model_path, config, tmp_path / "fused.onnx")


def test_quantize_refuses_to_lose_more_than_the_recipe_allows(built, tmp_path):
    zeroing = partial(quantize.run, quantizer=zeroed)
    pipeline, recipes = built.copied_to(tmp_path, quantize=zeroing)
    (recipes / "student-int8.toml").write_text(QUANTISED.replace("0.1", "0.05"))

    with pytest.raises(RecipeError, match=r"int8-dynamic loses 0\.\d+ of accuracy"):
        make_all(pipeline, recipes)


def test_a_published_bundle_holds_the_contract_s_files_and_nothing_else(family):
    for bundle in family.values():
        names = {path.name for path in bundle.folder.iterdir()}
        assert names == {MODEL_NAME, TOKENIZER_NAME, CONFIG_NAME, CARD_NAME, MANIFEST_NAME}
        assert read_bundle(bundle.folder).manifest.evaluations.keys() == {"validation", "test"}
