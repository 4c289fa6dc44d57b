"""What probes refuse and what they warn of, on each engine."""

import json

import numpy as np
import onnx
import pytest
from onnx import helper

from models.evaluation.statistics import proportion
from serving.bundles.bundle import read_bundle
from serving.errors import BundleError
from serving.inference.engine import Resources
from serving.inference.engine_selection import ENGINES
from serving.inference.probes import probe
from serving.inference.tokenizer import open_tokenizer
from tests.support.bundles import evaluation, write_bundle, write_tensor_bundle
from tests.support.mutilated import graphs
from tests.support.mutilated.cases import CASES, sign

pytestmark = pytest.mark.parametrize("engine", ["onnxruntime", "openvino"])


def probed(folder, engine, **options):
    bundle = read_bundle(folder)
    made = ENGINES[engine](bundle, Resources("cpu", 1))
    return probe(made, open_tokenizer(bundle), bundle.manifest, **options)


def changed(folder, change):
    """The good bundle with another graph."""
    write_bundle(folder)
    model = onnx.load(folder / "model.onnx")
    change(model.graph)
    onnx.save(model, folder / "model.onnx")
    sign(folder)
    return folder


def ending_in(*operators):
    def change(graph):
        for operator in operators:
            graph.node[-1].output[0] = f"before {operator}"
            graph.node.append(helper.make_node(operator, [f"before {operator}"], ["logits"]))

    return change


@pytest.mark.parametrize("pairs", [False, True])
def test_a_good_bundle_passes_without_a_warning(tmp_path, engine, pairs):
    write_bundle(tmp_path, pairs=pairs)

    assert probed(tmp_path, engine) == []


def test_a_model_of_tensors_is_probed_with_rows(tmp_path, engine):
    write_tensor_bundle(tmp_path)
    steps = []

    assert probed(tmp_path, engine, on_step=steps.append) == []
    assert {"row 0", "a row of zeros", "a batch"} <= set(steps)


@pytest.mark.parametrize(
    ("case", "words"),
    [
        ("tokenizer-without-unk", "Missing [UNK] token from the vocabulary"),
        ("tokenizer-added-token", "token '[URL]' of tokenizer.json has the id 10"),
        ("tokenizer-large-special-id", "999"),
        ("manifest-pad-id-beyond", "padding token of manifest.json has the id 99"),
        ("graph-three-labels", "[batch, 2], one for each label"),
        ("graph-nan", "non-finite"),
        ("graph-one-text-a-batch", "a batch"),
        ("graph-short-positions", "8 by 14"),
    ],
)
def test_what_fails_is_refused_in_the_words_of_the_library(tmp_path, engine, case, words):
    write_bundle(tmp_path, max_length=64)
    CASES[case](tmp_path)

    with pytest.raises(BundleError) as refusal:
        probed(tmp_path, engine)

    assert words in refusal.value.detail


def test_a_sigmoid_in_the_graph_is_suspicious(tmp_path, engine):
    (warning,) = probed(changed(tmp_path, ending_in("Relu", "Sigmoid")), engine)

    assert "every output lies in [0, 1]" in warning
    assert "ends in a sigmoid" in warning


@pytest.mark.parametrize("operators", [("Softmax",), ("Softmax", "Relu")])
def test_a_softmax_in_the_graph_that_the_manifest_does_not_name_is_refused(
    tmp_path, engine, operators
):
    with pytest.raises(BundleError, match="sum to 1, as probabilities do"):
        probed(changed(tmp_path, ending_in(*operators)), engine)


@pytest.mark.parametrize("flips", [None, 0, 12])
def test_an_answer_that_depends_on_the_rest_of_the_batch_is_suspicious_unless_its_card_says_so(
    tmp_path, engine, flips
):
    share = None if flips is None else proportion(np.arange(1000) < flips)
    its = evaluation(0.9).model_copy(update={"batch_flips": share})
    write_bundle(tmp_path)
    onnx.save(graphs.graph(graphs.rewired("logits")), tmp_path / "model.onnx")
    sign(tmp_path, evaluations={"test": its.model_dump(mode="json")})

    warnings = probed(tmp_path, engine)

    said = ["in a batch of mixed lengths, logits differ by up to" in each for each in warnings]
    assert said == ([] if flips else [True])


def test_an_answer_that_depends_on_nothing_is_suspicious(tmp_path, engine):
    def forget(graph):
        table = next(each for each in graph.initializer if each.name == "table")
        table.raw_data = np.zeros((10, 2), np.float32).tobytes()

    (warning,) = probed(changed(tmp_path, forget), engine)

    assert "every probe has the same logits" in warning


@pytest.mark.parametrize(("second_s", "longest"), [(0.01, 2048), (0.2, 32)])
def test_a_costly_text_of_max_length_is_left_out_unless_thorough(
    tmp_path, engine, second_s, longest
):
    write_bundle(tmp_path, max_length=2048)
    # Each run takes as long, and four times the tokens may take sixteen times as long.
    now = [0.0]

    def clock():
        now[0] += second_s
        return now[0]

    def lengths(**options):
        steps = []
        probed(tmp_path, engine, on_step=steps.append, clock=clock, **options)
        return [step.split()[3] for step in steps if "max_length" in step]

    assert lengths(thorough=False)[-1] == str(longest)
    assert lengths()[-1] == "2048"


def test_an_empty_vocabulary_is_refused(tmp_path, engine):
    write_bundle(tmp_path)
    path = tmp_path / "tokenizer.json"
    tokenizer = json.loads(path.read_text())
    tokenizer["model"]["vocab"] = {"[UNK]": 1}
    tokenizer["pre_tokenizer"] = None
    tokenizer["post_processor"] = None
    tokenizer["normalizer"] = {"type": "Replace", "pattern": {"Regex": ".*"}, "content": ""}
    path.write_text(json.dumps(tokenizer))
    sign(tmp_path)

    with pytest.raises(BundleError, match="finds no token"):
        probed(tmp_path, engine)


@pytest.mark.parametrize("pairs", [False, True])
def test_special_tokens_keep_their_places_and_number(tmp_path, engine, pairs):
    write_bundle(tmp_path, pairs=pairs)
    bundle = read_bundle(tmp_path)
    made = ENGINES[engine](bundle, Resources("cpu", 1))
    seen = []
    run = made.run

    def watched(batch):
        seen.extend(batch)
        return run(batch)

    made.run = watched
    probe(made, open_tokenizer(bundle), bundle.manifest)

    separator = 3
    several = [list(each.ids).count(separator) for each in seen if each.length > 1]
    assert set(several) == {2 if pairs else 1}
