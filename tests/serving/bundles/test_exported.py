import json
import shutil

import onnx
import pytest
from onnx import TensorProto, numpy_helper

from serving.bundles.exported import find_source, is_exported, read_exported
from serving.bundles.graph_traits import embedding_rows, final_operator, logits_of
from serving.bundles.onnx_file import read_outline
from serving.errors import BundleError
from serving.inference.engine import Resources
from serving.inference.ort_engine import OrtEngine
from serving.inference.tokenizer import open_tokenizer
from tests.support.bundles import write_bundle
from tests.support.odd_graphs import write_odd_bundle


@pytest.fixture
def folder(tmp_path):
    """A Hugging Face folder with one graph."""
    write_bundle(tmp_path / "model")
    (tmp_path / "model" / "manifest.json").unlink()
    return tmp_path / "model"


@pytest.fixture
def read(tmp_path):
    scratch = tmp_path / "scratch"
    scratch.mkdir()

    def exported(path, **options):
        return read_exported(find_source(path), scratch, family="f", variant="v", **options)

    exported.scratch = scratch
    return exported


def edit(path, **fields):
    path.write_text(json.dumps(json.loads(path.read_text()) | fields))


@pytest.mark.parametrize(
    "name",
    ["model.onnx", "onnx/model.onnx", "model_quantized.onnx", "onnx/model_int8.onnx",
     "onnx/model_fp16.onnx", "model_optimized.onnx"],
)  # fmt: skip
def test_the_only_graph_is_taken_whatever_its_name(folder, read, name):
    (folder / name).parent.mkdir(exist_ok=True)
    shutil.move(folder / "model.onnx", folder / name)

    assert is_exported(folder)
    assert read(folder).bundle.model_path == folder / name


def test_of_several_graphs_one_must_be_named(folder):
    (folder / "onnx").mkdir()
    for name in ("onnx/model.onnx", "onnx/model_int8.onnx"):
        shutil.copy(folder / "model.onnx", folder / name)

    with pytest.raises(BundleError, match=r"3 graphs \(model.onnx, onnx/model.onnx, onnx/model_i"):
        find_source(folder)
    with pytest.raises(BundleError, match=r"no graph int4, only .*: choose one with --graph NAME"):
        find_source(folder, "int4")
    for name in ("model_int8", "model_int8.onnx", "onnx/model_int8", "onnx/model_int8.onnx"):
        assert find_source(folder, name).graph == folder / "onnx" / "model_int8.onnx"
    assert find_source(folder, "model.onnx").graph == folder / "model.onnx"


def test_a_graph_is_described_by_its_own_folder_or_the_one_above(folder, read):
    (folder / "onnx").mkdir()
    shutil.copy(folder / "model.onnx", folder / "onnx" / "model.onnx")

    for graph in (folder / "model.onnx", folder / "onnx" / "model.onnx"):
        assert read(graph).bundle.model_path == graph
    (folder / "config.json").unlink()
    with pytest.raises(BundleError, match=r"no config.json beside it or above it.*--labels"):
        find_source(folder / "onnx" / "model.onnx")


def test_a_graph_that_is_a_link_is_described_where_the_link_lies(folder):
    (folder / "onnx").mkdir()
    (folder / "model.onnx").rename(folder.parent / "blob")
    graph = folder / "onnx" / "model.onnx"
    graph.symlink_to(folder.parent / "blob")

    assert find_source(graph).folder == folder.resolve()


@pytest.mark.parametrize(
    ("files", "helps"),
    [
        (("model.safetensors",), r"only weights for training \(model.safetensors\).*\[adopt\]"),
        (("pytorch_model.bin",), r"optimum-cli export onnx --model .*model --task text-class"),
        (("adapter_model.safetensors", "adapter_config.json"), "merge_and_unload"),
        ((), "export the model to ONNX"),
    ],
)
def test_a_folder_without_a_graph_gets_the_sentence_that_helps(folder, files, helps):
    (folder / "model.onnx").unlink()
    for name in files:
        (folder / name).touch()

    with pytest.raises(BundleError, match=helps):
        find_source(folder)


def test_a_path_that_does_not_exist_is_said(tmp_path):
    with pytest.raises(BundleError, match="does not exist"):
        find_source(tmp_path / "nothing")


def test_weights_beside_the_graph_are_files_of_the_bundle(folder, read):
    model = onnx.load(folder / "model.onnx")
    onnx.save(model, folder / "model.onnx", save_as_external_data=True, location="model.onnx_data",
              size_threshold=0)  # fmt: skip

    assert "model.onnx_data" in read(folder).bundle.manifest.files
    (folder / "model.onnx_data").unlink()
    with pytest.raises(BundleError, match=r"model.onnx_data, which is not beside it: copy it"):
        read(folder)


@pytest.mark.parametrize("location", ["../weights.bin", "data/weights.bin", "/weights.bin"])
def test_weights_elsewhere_are_refused(folder, read, location):
    model = onnx.load(folder / "model.onnx")
    for tensor in model.graph.initializer:
        entry = tensor.external_data.add()
        entry.key, entry.value = "location", location
    (folder / "model.onnx").write_bytes(model.SerializeToString())

    with pytest.raises(BundleError, match="save it as a single file"):
        read(folder)


@pytest.mark.parametrize(
    ("final", "labels", "problem", "expected"),
    [
        ("Softmax", ("a", "b"), None, ("single_label", "probabilities")),
        ("Sigmoid", ("a", "b"), "multi_label_classification", ("multi_label", "probabilities")),
        ("Sigmoid", ("a", "b"), None, ("multi_label", "probabilities")),
        ("Sigmoid", ("a",), None, ("multi_label", "probabilities")),
        ("Sigmoid", ("a",), "regression", ("regression", "logits")),
        (None, ("a", "b"), None, ("single_label", "logits")),
    ],
)
def test_probabilities_inside_the_graph_are_recognised(read, final, labels, problem, expected):
    folder = read.scratch / "odd"
    write_odd_bundle(folder, labels=labels, ends_in=final)
    edit(folder / "config.json", problem_type=problem)

    exported = read(folder)

    manifest = exported.bundle.manifest
    assert (manifest.problem_type, manifest.graph_output) == expected
    taken = expected[1] == "probabilities"
    assert any("are taken as probabilities" in each for each in exported.warnings) == taken


def test_a_softmax_over_one_label_is_refused(tmp_path, read):
    write_odd_bundle(tmp_path / "odd", labels=("a",), ends_in="Softmax")

    with pytest.raises(BundleError, match="which is always 1"):
        read(tmp_path / "odd")


def test_a_softmax_that_was_taken_apart_is_recognised(tmp_path):
    nodes = [
        onnx.helper.make_node("Exp", ["x"], ["terms"]),
        onnx.helper.make_node("ReduceSum", ["terms", "axis"], ["total"]),
        onnx.helper.make_node("Div", ["terms", "total"], ["share"]),
        onnx.helper.make_node("Cast", ["share"], ["y"], to=TensorProto.FLOAT),
    ]
    values = [onnx.helper.make_tensor_value_info(n, TensorProto.FLOAT, [None, 2]) for n in "xy"]
    axis = numpy_helper.from_array(numpy_helper.to_array(onnx.helper.make_tensor(
        "a", TensorProto.INT64, [1], [1])), "axis")  # fmt: skip
    graph = onnx.helper.make_graph(nodes, "g", values[:1], values[1:], [axis])
    onnx.save(onnx.helper.make_model(graph), tmp_path / "g.onnx")

    assert final_operator(read_outline(tmp_path / "g.onnx"), "y") == "Softmax"


@pytest.mark.parametrize("last", [("Div", ["one", "total"]), ("Reciprocal", ["total"])])
def test_a_sigmoid_that_was_taken_apart_and_clipped_is_recognised(tmp_path, last):
    operator, inputs = last
    nodes = [
        onnx.helper.make_node("Neg", ["x"], ["negative"]),
        onnx.helper.make_node("Exp", ["negative"], ["term"]),
        onnx.helper.make_node("Add", ["term", "one"], ["total"]),
        onnx.helper.make_node(operator, inputs, ["share"]),
        onnx.helper.make_node("Clip", ["share"], ["y"]),
    ]
    values = [onnx.helper.make_tensor_value_info(n, TensorProto.FLOAT, [None, 2]) for n in "xy"]
    one = onnx.helper.make_tensor("one", TensorProto.FLOAT, [1], [1.0])
    graph = onnx.helper.make_graph(nodes, "g", values[:1], values[1:], [one])
    onnx.save(onnx.helper.make_model(graph), tmp_path / "g.onnx")

    assert final_operator(read_outline(tmp_path / "g.onnx"), "y") == "Sigmoid"


def test_a_graph_in_a_circle_is_read_to_its_end(tmp_path):
    nodes = [
        onnx.helper.make_node("Identity", ["y"], ["x"]),
        onnx.helper.make_node("Identity", ["x"], ["y"]),
        onnx.helper.make_node("Gather", ["x", "y"], ["found"]),
    ]
    value = onnx.helper.make_tensor_value_info("y", TensorProto.FLOAT, [None, 2])
    graph = onnx.helper.make_graph(nodes, "g", [], [value])
    onnx.save(onnx.helper.make_model(graph), tmp_path / "g.onnx")

    outline = read_outline(tmp_path / "g.onnx")

    assert final_operator(outline, "y") == ""
    assert embedding_rows(outline) == 0


def test_tokens_beyond_the_embedding_are_refused_by_name(folder, read):
    tokenizer = json.loads((folder / "tokenizer.json").read_text())
    added = {"id": 10, "content": "[URL]", "single_word": False, "lstrip": False, "rstrip": False,
             "normalized": True, "special": False}  # fmt: skip
    assert embedding_rows(read_outline(folder / "model.onnx")) == 10
    read(folder)

    (folder / "tokenizer.json").write_text(json.dumps(tokenizer | {"added_tokens": [added]}))

    with pytest.raises(BundleError, match=r"10 rows.*ids up to 10 \('\[URL\]'\).*resize_token_emb"):
        read(folder)


def test_a_pad_id_beyond_the_embedding_is_refused(folder, read):
    edit(folder / "config.json", pad_token_id=10)

    with pytest.raises(BundleError, match="10 rows, pad_token_id is 10"):
        read(folder)


def test_labels_and_logits_of_different_number_are_refused(folder, read):
    edit(folder / "config.json", id2label={"0": "a", "1": "b", "2": "c"})

    with pytest.raises(BundleError, match=r"has 2 numbers, config.json names 3 labels \(a, b, c\)"):
        read(folder)


def test_a_message_names_few_of_very_many_labels(folder, read):
    edit(folder / "config.json", id2label={str(n): f"LABEL_{n}" for n in range(10_000)})

    with pytest.raises(
        BundleError, match=r"10000 labels \(LABEL_0, .* and 9,980 more\)"
    ) as refused:
        read(folder)

    assert len(refused.value.detail) < 700


@pytest.mark.parametrize("names", [{"0": "bad", "1": "good"}, None])
def test_a_wider_output_before_the_scores_is_not_taken_for_them(read, names):
    folder = read.scratch / "odd"
    write_odd_bundle(folder, answer="scores")
    edit(folder / "config.json", id2label=names)
    model = onnx.load(folder / "model.onnx")
    model.graph.node.append(onnx.helper.make_node("Concat", ["scores"] * 3, ["pooled"], axis=1))
    pooled = onnx.helper.make_tensor_value_info("pooled", TensorProto.FLOAT, ["batch", 6])
    model.graph.output.insert(0, pooled)
    onnx.save(model, folder / "model.onnx")

    exported = read(folder)

    assert len(exported.bundle.manifest.labels) == 2
    assert logits_of(exported.outline, 2).name == "scores"
    (encoding,) = open_tokenizer(exported.bundle).encode(["good film"])
    assert OrtEngine(exported.bundle, Resources("cpu", 1)).run([encoding]).tolist() == [[-1.0, 1.0]]


@pytest.mark.parametrize(("tokens", "expected"), [("length", 12), (8, 8), (16, 12)])
def test_a_graph_that_is_fixed_to_some_tokens_reads_no_more(read, tokens, expected):
    folder = read.scratch / "odd"
    write_odd_bundle(folder, tokens=tokens)
    edit(folder / "config.json", max_position_embeddings=12)

    assert read(folder).bundle.manifest.max_length == expected


def test_a_model_of_two_texts_is_recognised_only_where_nobody_says(folder, read):
    edit(folder / "config.json", finetuning_task="mnli")

    assert [read(folder, pairs=given).bundle.manifest.pairs for given in (False, True, None)] == [
        False, True, True,
    ]  # fmt: skip
