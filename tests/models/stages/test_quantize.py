import json
import re
import shutil
from functools import partial
from typing import get_args

import numpy as np
import onnx
import openvino
import pytest

from models.data.labelled import read_split
from models.evaluation.predictions import Predictor
from models.graphs.number_formats import PRECISIONS
from models.graphs.quantizers import operators, quantize_graph
from models.graphs.sensitivity import by_sensitivity
from models.job import Job
from models.recipe import RecipeError, lineage
from models.recipe_sections import Scheme
from models.runners import RUNNERS
from models.stages import quantize
from models.stages.quantize import KEPT_KEY, run
from serving.bundles.bundle import read_bundle, verify
from serving.errors import BundleError
from serving.inference.engine import Resources
from serving.inference.engine_selection import choose
from serving.inference.ort_engine import OrtEngine
from serving.inference.tokenizer import Tokenizer
from tests.support.stage_doubles import zeroed
from tests.support.tiny_teacher import HEAD

QUANTIZE = '[quantize]\nscheme = "{scheme}"\nmax_accuracy_drop = {drop}\n'
# The largest difference of a logit from the parent's, whose logits lie in about -6 to 6.
BOUNDS = {
    "int8-dynamic": 0.6, "int8-static": 0.6, "int8-openvino": 0.6, "int4": 1.5, "fp16": 0.02,
}  # fmt: skip

pytestmark = pytest.mark.filterwarnings("ignore")  # what the libraries deprecate in themselves


def texts(tone):
    return [row.text for row in read_split(tone.data, "validation")]


def kept(bundle):
    metadata = {entry.key: entry.value for entry in onnx.load(bundle.model_path).metadata_props}
    return json.loads(metadata[KEPT_KEY])


def test_every_scheme_of_a_recipe_has_a_number_format_and_a_test():
    assert set(get_args(Scheme)) == set(PRECISIONS) == set(BOUNDS)


@pytest.mark.parametrize("scheme", ["int3", "fp8", "int8-openvino"])
def test_an_unknown_number_format_is_an_error_and_never_another_format(tone, tmp_path, scheme):
    source = read_bundle(tone.folder("teacher-fp32", "export")).model_path

    with pytest.raises(AssertionError, match=scheme):
        quantize_graph(scheme, source, tmp_path / "model.onnx")

    assert not (tmp_path / "model.onnx").exists()


@pytest.mark.parametrize("scheme", BOUNDS)
def test_a_quantized_graph_is_smaller_and_answers_nearly_as_its_parent(tone, scheme):
    folder = tone.make(f"q-{scheme}", QUANTIZE.format(scheme=scheme, drop=0.05), ["quantize"])
    parent = read_bundle(tone.folder("teacher-fp32", "export"))
    bundle = read_bundle(folder)

    verify(bundle)
    before, after = (Predictor(it).logits(texts(tone)) for it in (parent, bundle))
    assert np.abs(after - before).max() <= BOUNDS[scheme]
    assert bundle.manifest.precision == scheme.partition("-")[0]
    assert bundle.manifest.parent == "teacher-fp32"
    assert bundle.manifest.parameters == parent.manifest.parameters
    if bundle.model_path.suffix == ".onnx":
        assert kept(bundle) == []


def test_openvinos_int8_answers_texts_of_any_length(tone):
    make = QUANTIZE.format(scheme="int8-openvino", drop=0.05)
    bundle = read_bundle(tone.make("q-int8-openvino", make, ["quantize"]))
    words = " ".join(texts(tone)).split()
    sent = [" ".join(words[:count]) for count in range(1, 63)]
    parent = read_bundle(tone.folder("teacher-fp32", "export"))
    before, after = (Predictor(it).logits(sent) for it in (parent, bundle))

    assert np.abs(after - before).max() <= BOUNDS["int8-openvino"]


def test_openvinos_int8_multiplies_in_int8_and_only_openvino_reads_it(tone):
    folder = tone.make(
        "q-int8-openvino", QUANTIZE.format(scheme="int8-openvino", drop=0.05), ["quantize"]
    )
    bundle = read_bundle(folder)
    compiled = openvino.Core().compile_model(bundle.model_path, "CPU")
    computed = [
        node.get_rt_info()["runtimePrecision"].astype(str)
        for node in compiled.get_runtime_model().get_ordered_ops()
        if node.get_rt_info()["layerType"].astype(str) == "FullyConnected"
    ]

    assert computed.count("i8") + computed.count("u8") > len(computed) / 2
    with pytest.raises(BundleError, match="SIZEWISE_ENGINE"):
        OrtEngine(bundle, Resources("cpu", threads=1))
    tokenizer = Tokenizer(bundle.tokenizer_path, bundle.manifest.max_length)
    assert (
        choose(bundle, tokenizer, "auto", Resources("cpu", threads=1), max_batch_tokens=64).name
        == "openvino"
    )


@pytest.mark.parametrize(
    ("scheme", "kind"),
    [
        ("int8-dynamic", onnx.TensorProto.UINT8),
        ("int8-static", onnx.TensorProto.UINT8),
        ("int4", onnx.TensorProto.UINT4),
        ("fp16", onnx.TensorProto.FLOAT16),
    ],
)
def test_the_embedding_table_is_quantized_too(tone, scheme, kind):
    folder = tone.make(f"q-{scheme}", QUANTIZE.format(scheme=scheme, drop=0.05), ["quantize"])
    graph = onnx.load(read_bundle(folder).model_path).graph

    tables = [t for t in graph.initializer if "word_embeddings" in t.name and len(t.dims) == 2]

    assert kind in {table.data_type for table in tables}
    assert onnx.TensorProto.FLOAT not in {t.data_type for t in tables if t.dims[1] == 32}


def test_int8_static_quantizes_what_goes_into_each_matrix_as_well(tone):
    folder = tone.make(
        "q-int8-static", QUANTIZE.format(scheme="int8-static", drop=0.05), ["quantize"]
    )
    graph = onnx.load(read_bundle(folder).model_path).graph
    made_by = {name: node.op_type for node in graph.node for name in node.output}

    inputs = [
        [made_by.get(name) for name in node.input]
        for node in graph.node
        if node.op_type == "MatMul"
    ]

    assert len(inputs) > 6
    assert inputs == [["DequantizeLinear", "DequantizeLinear"]] * len(inputs)


def test_no_matrix_of_a_layer_is_left_in_fp32_by_int4(tone):
    folder = tone.make("q-int4", QUANTIZE.format(scheme="int4", drop=0.05), ["quantize"])

    kinds = [node.op_type for node in onnx.load(read_bundle(folder).model_path).graph.node]

    assert "MatMul" not in kinds
    assert "Gemm" not in kinds
    assert kinds.count("MatMulNBits") == 2 * 6 + 2  # a layer's six, the pooler and the classifier


@pytest.fixture
def spoilt(tone, tmp_path):
    """The teacher's bundle with one embedding that no text uses so large that it takes the scale.

    Also the name of the operator that has it.
    """
    shutil.copytree(tone.folder("teacher-fp32", "export"), tmp_path / "spoilt")
    bundle = read_bundle(tmp_path / "spoilt")
    model = onnx.load(bundle.model_path)
    embed = next(node for node in model.graph.node if "word_embeddings.weight" in node.input[0])
    table = next(t for t in model.graph.initializer if t.name == embed.input[0])
    values = onnx.numpy_helper.to_array(table).copy()
    values[5] *= 100_000  # [unused0]
    table.CopyFrom(onnx.numpy_helper.from_array(values, table.name))
    onnx.save(model, bundle.model_path)
    return bundle, embed.name


def test_the_operator_that_moves_the_logits_most_is_found(tone, spoilt):
    bundle, guilty = spoilt
    names = operators(bundle.model_path, "int8-dynamic")

    ranking = by_sensitivity(
        names,
        lambda target, kept: quantize_graph("int8-dynamic", bundle.model_path, target, kept),
        bundle,
        texts(tone)[:16],
    )

    assert sorted(ranking) == sorted(names)
    assert ranking[0] == guilty


def test_as_few_operators_as_needed_keep_the_parent_s_format(tone, spoilt, tmp_path, capsys):
    bundle, guilty = spoilt
    (tone.recipes / "rescued.toml").write_text(
        HEAD.format(parent="teacher-fp32") + QUANTIZE.format(scheme="int8-dynamic", drop=0.06)
    )
    ancestors = tuple(lineage(tone.recipes / "rescued.toml"))
    output = tmp_path / "output"
    output.mkdir()

    run(Job(ancestors, {"data": tone.data, "parent_bundle": bundle.folder}, output, {}))

    assert kept(read_bundle(output)) == [guilty]
    assert f"operators in the parent's format: {guilty}" in capsys.readouterr().out


def test_the_limit_is_tested_from_the_safe_side_on(tone, capsys):
    """From the other side the first of many looks at the same texts that passed was taken."""
    tone.make("steps", QUANTIZE.format(scheme="int4", drop=0.06), ["quantize"])

    said = re.findall(r"with (\d+) of (\d+) operators kept", capsys.readouterr().out)

    operators = int(said[0][1])
    steps = [operators // 2]
    while steps[-1]:
        steps.append(steps[-1] // 2)
    assert [int(kept) for kept, _ in said] == steps


def test_a_scheme_that_loses_too_much_all_the_same_is_refused(tone):
    zeroing = RUNNERS | {"quantize": partial(run, quantizer=zeroed)}

    with pytest.raises(RecipeError, match=r"int4 loses 0\.\d+ of accuracy .* even with \d+ of"):
        tone.make(
            "refused", QUANTIZE.format(scheme="int4", drop=0.06), ["quantize"], runners=zeroing
        )


def test_without_labels_a_loss_is_one_of_agreement(tone, tmp_path, capsys):
    """A family without labels was told that its number format loses accuracy."""
    data = tmp_path / "data"
    shutil.copytree(tone.data, data)
    about = json.loads((data / "data.json").read_text())
    (data / "data.json").write_text(json.dumps(about | {"truth": "teacher"}))
    recipe = tone.recipes / "agreeing.toml"
    bundle = tone.folder("teacher-fp32", "export")

    def refusal(drop):
        quantized = QUANTIZE.format(scheme="int4", drop=drop)
        recipe.write_text(HEAD.format(parent="teacher-fp32") + quantized)
        (output := tmp_path / f"{drop}").mkdir()
        job = Job(tuple(lineage(recipe)), {"data": data, "parent_bundle": bundle}, output, {})
        with pytest.raises(RecipeError) as refused:
            run(job, quantizer=zeroed)
        return str(refused.value)

    assert "cannot show that agreement with the original drops by" in refusal(0.001)
    said = refusal(0.06)
    assert "of agreement with the original on" in said
    assert "distil" not in said
    assert "validation: agreement with the original 1.0" in capsys.readouterr().out


def test_too_few_validation_texts_to_show_the_drop_are_refused(tone):
    """Twenty texts allowed a drop of two points, and the test split showed 13.5."""
    with pytest.raises(RecipeError, match=r"\d+ validation texts cannot show .* it takes 2995"):
        tone.make("few", QUANTIZE.format(scheme="int8-dynamic", drop=0.001), ["quantize"])


def test_the_ranges_of_activations_are_those_of_training_texts(tone, monkeypatch):
    read = []

    def reading(folder, split):
        read.append(split)
        return read_split(folder, split)

    monkeypatch.setattr(quantize, "read_split", reading)
    tone.make("q-ranges", QUANTIZE.format(scheme="int8-static", drop=0.06), ["quantize"])

    assert sorted(read) == ["train", "validation"]


def test_a_text_that_the_tokenizer_cannot_read_is_named(tone, tmp_path):
    parent = tmp_path / "parent"
    shutil.copytree(tone.folder("teacher-fp32", "export"), parent)
    content = json.loads((parent / "tokenizer.json").read_text())
    special = {each["content"] for each in content["added_tokens"]}
    vocabulary = content["model"]["vocab"].items()
    content["model"] |= {
        "unk_token": "[NOT THERE]",
        "vocab": {word: number for word, number in vocabulary if word in special},
    }
    (parent / "tokenizer.json").write_text(json.dumps(content))
    (tone.recipes / "unreadable.toml").write_text(
        HEAD.format(parent="teacher-fp32") + QUANTIZE.format(scheme="int8-dynamic", drop=0.05)
    )
    ancestors = tuple(lineage(tone.recipes / "unreadable.toml"))
    (tmp_path / "output").mkdir()

    with pytest.raises(RecipeError, match="the tokenizer cannot read the text"):
        run(Job(ancestors, {"data": tone.data, "parent_bundle": parent}, tmp_path / "output", {}))


def test_int4_of_a_quantized_parent_is_refused_with_the_remedy(tone):
    tone.make("q-fp16", QUANTIZE.format(scheme="fp16", drop=0.05), ["quantize"])

    with pytest.raises(RecipeError, match="make the variant that has its weights the parent"):
        tone.make("twice", QUANTIZE.format(scheme="int4", drop=0.05), ["quantize"], parent="q-fp16")
