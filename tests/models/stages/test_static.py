import json
import re

import numpy as np
import onnx
import pytest
import torch

from models.data.labelled import label_matrix, read_labels, read_split, read_unlabelled
from models.evaluation.predictions import Predictor, predicted
from models.evaluation.statistics import correct
from models.pipeline import Pipeline
from models.recipe import RecipeError, in_parent_order, lineage
from models.runners import RUNNERS
from models.stages.export import largest_difference
from models.training.static_classifier import StaticClassifier
from serving.bundles.bundle import read_bundle
from serving.inference.engine import Resources
from serving.inference.openvino_engine import OpenVinoEngine
from serving.inference.ort_engine import OrtEngine
from serving.inference.tokenizer import Tokenizer
from tests.support.chinese_recipes import ROOT, write_chinese

STATIC = """
[static]
vocabulary_words = 105
width = 16
epochs = 6
learning_rate = 1e-2
batch_texts = 16
"""
STAGES = ["static", "export"]

pytestmark = pytest.mark.filterwarnings("ignore")  # what the libraries deprecate in themselves


def make_all(folder, recipes):
    pipeline = Pipeline(folder / "build", folder / "downloads", RUNNERS)
    for path in in_parent_order(recipes):
        ancestors = tuple(lineage(path))
        for stage in ancestors[-1].stages:
            pipeline.make(ancestors, stage)
    return pipeline.build / "tone"


@pytest.fixture(scope="module")
def chinese(tmp_path_factory):
    """The stages of static-fp32 and static-int8."""
    scratch = tmp_path_factory.mktemp("chinese")
    return make_all(scratch, write_chinese(scratch / "recipes"))


@pytest.fixture(scope="module")
def taught(tone):
    tone.make("static", STATIC, STAGES)
    return tone


def accuracy(folder, data):
    """Of a bundle, on the test split."""
    bundle, rows = read_bundle(folder), read_split(data, "test")
    found = predicted(Predictor(bundle).logits([row.text for row in rows]), "single_label")
    return correct(label_matrix(rows, read_labels(data)), found).mean()


def encoded(bundle, texts):
    return Tokenizer(bundle.tokenizer_path, bundle.manifest.max_length).encode(texts)


def test_it_answers_like_its_teacher_with_its_words(taught):
    folder = taught.folder("static", "export")
    assert accuracy(folder, taught.data) >= 0.9
    manifest = read_bundle(folder).manifest
    words = json.loads((taught.folder("static", "static") / "tokenizer.json").read_text())
    assert len(words["model"]["vocab"]) == 105
    # Embeddings, and the head.
    assert manifest.parameters == 105 * 16 + 48 * 2 + 2
    assert manifest.parent == "teacher-fp32"


def test_it_also_learns_from_copies_that_its_teacher_labels(taught, capsys, monkeypatch):
    monkeypatch.setattr("models.progress._LINE_EVERY_S", 0.0)
    copies = 'augmented_copies = 2\naugmented_by = ["typos", "mixing"]\n'

    taught.make("typing", STATIC + copies, STAGES)

    # The teacher is asked for the texts, the half of two copies of each that are mixed, and the
    # words of the vocabulary.
    told = re.findall(r"teacher-fp32, 8 texts a batch: 0 of (\d+)", capsys.readouterr().err)
    texts = len(read_split(taught.data, "train")) + len(read_unlabelled(taught.data))
    assert 2 * texts / 8 <= int(told[-1]) <= (2 * texts + 105) / 8 + 1
    assert accuracy(taught.folder("typing", "export"), taught.data) >= 0.9


def test_without_a_teacher_it_learns_chinese_and_what_not_means(chinese):
    for variant in ("static-fp32", "static-int8"):
        folder = chinese / variant / "package"
        assert accuracy(folder, chinese / "static-fp32" / "data") >= 0.95


def test_its_own_vocabulary_knows_every_token_of_held_out_texts(chinese):
    bundle = read_bundle(chinese / "static-fp32" / "package")
    rows = read_split(chinese / "static-fp32" / "data", "test")

    for encoding in encoded(bundle, [row.text for row in rows]):
        assert len(encoding.ids) > 2
        assert 1 not in encoding.ids


def test_int8_embeddings_answer_nearly_as_fp32_and_the_head_stays(chinese):
    fp32, int8 = (
        read_bundle(chinese / f"static-{precision}" / "package") for precision in ("fp32", "int8")
    )
    texts = [row.text for row in read_split(chinese / "static-fp32" / "data", "test")]

    before, after = (
        OrtEngine(bundle, Resources("cpu", 1)).run(encoded(bundle, texts))
        for bundle in (fp32, int8)
    )

    assert np.abs(after - before).max() <= 0.05 * np.abs(before).max()
    weights = {each.name: each for each in onnx.load(int8.model_path).graph.initializer}
    kinds = {name: each.data_type for name, each in weights.items() if len(each.dims) == 2}
    assert {kinds[name] for name in kinds if "embeddings" in name} == {onnx.TensorProto.UINT8}
    assert {kinds[name] for name in kinds if "head" in name} == {onnx.TensorProto.FLOAT}


@pytest.mark.parametrize("engine", [OrtEngine, OpenVinoEngine])
@pytest.mark.parametrize("variant", ["static-fp32", "static-int8"])
def test_neither_batch_mates_nor_padding_change_an_answer(chinese, engine, variant):
    bundle = read_bundle(chinese / variant / "package")
    running = engine(bundle, Resources("cpu", 1))
    # Unknown characters, none at all, and more than fit.
    batch = encoded(bundle, ["这电影很好", "☃ unknown Ω", "", "好" * 100, "这手机不慢"])

    together = running.run(batch)

    alone = np.concatenate([running.run([each]) for each in batch])
    np.testing.assert_allclose(together, alone, atol=1e-5)
    assert running.run([running.example(1)]).shape == (1, 2)


def test_the_engines_agree(chinese):
    bundle = read_bundle(chinese / "static-int8" / "package")
    batch = encoded(bundle, ["这电影很好", "这手机不慢", "剧情"])

    first, second = (
        engine(bundle, Resources("cpu", 1)).run(batch) for engine in (OrtEngine, OpenVinoEngine)
    )

    # OpenVINO may compute in bf16.
    assert np.abs(first - second).max() <= 0.05 * np.abs(first).max()


def test_the_same_seed_trains_the_same_weights(chinese, tmp_path):
    again = make_all(tmp_path, write_chinese(tmp_path / "recipes"))

    for variant in ("static-fp32", "static-int8"):
        first, second = (
            read_bundle(folder / variant / "package").manifest for folder in (chinese, again)
        )
        assert first.version == second.version


def test_export_sees_a_weight_that_changed(taught):
    bundle = read_bundle(taught.folder("static", "export"))
    model = StaticClassifier.from_pretrained(taught.folder("static", "static"))
    texts = ["the plot was dull", "a superb film"]
    assert largest_difference(model, bundle, texts) < 1e-5

    with torch.no_grad():
        model.head[-1].bias[0] += 0.01

    assert largest_difference(model, bundle, texts) > 0.009


@pytest.mark.parametrize("scheme", ["int8-static", "int4", "fp16", "int8-openvino"])
def test_every_number_format_is_made_or_refused_in_a_sentence(taught, scheme):
    section = f'[quantize]\nscheme = "{scheme}"\nmax_accuracy_drop = 0.1\n'

    folder = taught.make(f"static-{scheme}", section, ["quantize"], parent="static")

    assert read_bundle(folder).manifest.precision == scheme.partition("-")[0]


@pytest.mark.parametrize(
    ("teacher", "message"),
    [
        ("nowhere", "nowhere does not exist"),
        ("hub:OWNER/NAME", "teacher hub:OWNER/NAME: name the folder of a bundle"),
        (".", "static: teacher: .*manifest.json"),
        ("{static}", "the labels negative, positive, the data is .* bad, good: name a teacher"),
    ],
)
def test_a_teacher_that_cannot_teach_is_refused(chinese, tmp_path, teacher, message):
    recipes = write_chinese(tmp_path / "recipes")
    texts = recipes / "texts.jsonl"
    content = texts.read_text().replace('"positive"', '"good"')
    texts.write_text(content.replace('"negative"', '"bad"'))
    named = teacher.format(static=chinese / "static-fp32" / "package")
    (recipes / "static-fp32.toml").write_text(ROOT + f'teacher = "{named}"\n')

    with pytest.raises(RecipeError, match=message):
        make_all(tmp_path, recipes)


def test_a_bundle_that_is_not_of_the_family_can_teach(chinese, tmp_path):
    recipes = write_chinese(tmp_path / "recipes")
    named = chinese / "static-int8" / "package"
    (recipes / "static-fp32.toml").write_text(
        ROOT.replace('"learnt"', '"teacher"') + f'teacher = "{named}"\n'
    )
    (recipes / "static-int8.toml").unlink()

    made = make_all(tmp_path, recipes) / "static-fp32"
    assert accuracy(made / "package", made / "data") >= 0.95
