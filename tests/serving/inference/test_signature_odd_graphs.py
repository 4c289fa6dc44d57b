"""Graphs as other exporters write them, on both engines."""

import numpy as np
import onnx
import pytest
from onnx import TensorProto

from serving.bundles.bundle import read_bundle
from serving.bundles.probabilities import sigmoid, softmax
from serving.errors import BundleError, EngineFailed
from serving.inference.engine import Resources
from serving.inference.inputs import Encoding
from serving.inference.openvino_engine import OpenVinoEngine
from serving.inference.ort_engine import OrtEngine
from tests.support.bundles import encoded
from tests.support.odd_graphs import PADDED, expected, write_odd_bundle

BATCH = [[4, 5, 6], [9], [7, 4, 8, 4, 4], [4, 4], [6, 8, 4]]
both_engines = pytest.mark.parametrize("engine", [OrtEngine, OpenVinoEngine])


def load(engine, folder, **options):
    write_odd_bundle(folder, **options)
    return engine(read_bundle(folder), Resources("cpu", threads=1))


@both_engines
@pytest.mark.parametrize("kind", [TensorProto.INT64, TensorProto.INT32])
@pytest.mark.parametrize(
    ("batch", "tokens"), [("batch", "length"), (1, "length"), (2, "length"), ("batch", 16), (3, 16)]
)
def test_a_graph_of_any_integers_and_axes_answers_every_text_as_alone(
    tmp_path, engine, kind, batch, tokens
):
    loaded = load(engine, tmp_path, kind=kind, batch=batch, tokens=tokens)

    wanted = [expected(ids) for ids in BATCH]
    np.testing.assert_allclose(loaded.run(encoded(*BATCH)), wanted, atol=1e-4)
    for ids, row in zip(BATCH, wanted, strict=True):
        np.testing.assert_allclose(loaded.run(encoded(ids)), [row], atol=1e-4)


@both_engines
@pytest.mark.parametrize("tokens", ["length", 16])
def test_a_padded_graph_gets_the_position_of_each_token(tmp_path, engine, tokens):
    loaded = load(engine, tmp_path, inputs=(*PADDED, "position_ids"), tokens=tokens)

    wanted = [expected(ids, positions=True) for ids in BATCH]
    np.testing.assert_allclose(loaded.run(encoded(*BATCH)), wanted, atol=1e-4)
    np.testing.assert_allclose(loaded.run(encoded(BATCH[2])), [wanted[2]], atol=1e-4)


@both_engines
@pytest.mark.parametrize("tokens", ["length", 16])
def test_a_graph_with_token_types_gets_them_and_zeros_for_a_text_without(tmp_path, engine, tokens):
    loaded = load(engine, tmp_path, inputs=(*PADDED, "token_type_ids"), tokens=tokens)
    typed = Encoding([4, 4, 6], 3, [0, 1, 1])

    wanted = [[2.0, -2.0], expected([4, 5, 6])]
    np.testing.assert_allclose(loaded.run([typed, *encoded([4, 5, 6])]), wanted, atol=1e-4)
    np.testing.assert_allclose(loaded.run([typed]), wanted[:1], atol=1e-4)


@both_engines
def test_a_graph_without_a_mask_never_sees_padding(tmp_path, engine):
    loaded = load(engine, tmp_path, inputs=("input_ids",))
    feeds = []
    infer = loaded.infer
    loaded.infer = lambda feed: feeds.append(feed) or infer(feed)

    wanted = [expected(ids) for ids in BATCH]
    np.testing.assert_allclose(loaded.run(encoded(*BATCH)), wanted, atol=1e-4)
    assert [feed["input_ids"].tolist() for feed in feeds] == [[ids] for ids in BATCH]


@both_engines
@pytest.mark.parametrize("others", [("class",), ("hidden",), ("class", "hidden")])
@pytest.mark.parametrize("answer", ["scores", "logits"])
def test_of_several_outputs_the_one_with_a_row_for_each_text_is_the_answer(
    tmp_path, engine, others, answer
):
    loaded = load(engine, tmp_path, answer=answer, others=others)

    np.testing.assert_allclose(
        loaded.run(encoded(*BATCH)), [expected(ids) for ids in BATCH], atol=1e-4
    )


def test_beside_a_name_for_the_label_the_scores_are_the_answer(tmp_path):
    loaded = load(OrtEngine, tmp_path, answer="scores", others=("name",))

    np.testing.assert_allclose(loaded.run(encoded([4, 6])), [expected([4, 6])])


@both_engines
def test_a_named_output_counts_where_two_have_the_shape(tmp_path, engine):
    assert load(engine, tmp_path / "named", others=("again",)).run(encoded([4])).shape == (1, 2)
    with pytest.raises(BundleError, match=r"again.*scores.*name the one"):
        load(engine, tmp_path / "unnamed", answer="scores", others=("again",))


@both_engines
@pytest.mark.parametrize("left", ["hidden", "class"])
def test_a_graph_that_answers_no_row_of_numbers_for_each_text_is_refused(tmp_path, engine, left):
    write_odd_bundle(tmp_path, others=(left,))
    model = onnx.load(tmp_path / "model.onnx")
    del model.graph.output[1:]
    onnx.save(model, tmp_path / "model.onnx")

    with pytest.raises(BundleError, match=rf"answers {left} .*\[batch, 2\].*export"):
        engine(read_bundle(tmp_path), Resources("cpu", threads=1))


def test_a_graph_of_strings_is_refused_by_name(tmp_path):
    write_odd_bundle(tmp_path, others=("name",))
    model = onnx.load(tmp_path / "model.onnx")
    del model.graph.output[1:]
    onnx.save(model, tmp_path / "model.onnx")

    with pytest.raises(BundleError, match=r"answers name \(string"):
        OrtEngine(read_bundle(tmp_path), Resources("cpu", threads=1))


@both_engines
def test_a_graph_of_other_numbers_than_labels_is_refused_with_both_counts(tmp_path, engine):
    write_odd_bundle(tmp_path / "two")
    write_odd_bundle(tmp_path / "three", labels=("a", "b", "c"))
    (tmp_path / "three" / "model.onnx").write_bytes((tmp_path / "two" / "model.onnx").read_bytes())

    with pytest.raises(BundleError, match=r"\[\?, 2\].*\[batch, 3\]"):
        engine(read_bundle(tmp_path / "three"), Resources("cpu", threads=1))


@both_engines
@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"kind": TensorProto.FLOAT}, "int64 or int32"),
        ({"tokens": 8}, "at most 8 tokens, and its manifest says 16"),
        ({"inputs": ("input_ids",), "tokens": 16}, "attention_mask"),
    ],
)
def test_inputs_that_cannot_be_fed_are_refused_with_the_reason(tmp_path, engine, options, reason):
    write_odd_bundle(tmp_path, **({} if "kind" in options else options))
    if "kind" in options:
        model = onnx.load(tmp_path / "model.onnx")
        model.graph.input[1].type.tensor_type.elem_type = TensorProto.DOUBLE
        onnx.save(model, tmp_path / "model.onnx")

    with pytest.raises(BundleError, match=reason):
        engine(read_bundle(tmp_path), Resources("cpu", threads=1))


@both_engines
@pytest.mark.parametrize(
    ("labels", "problem_type", "ends_in"),
    [
        (("no", "yes"), "single_label", "Softmax"),
        (("a", "b", "c"), "multi_label", "Sigmoid"),
        (("relevant",), "single_label", "Sigmoid"),
        (("relevant",), "multi_label", "Sigmoid"),
    ],
)
def test_probabilities_in_the_graph_become_logits_that_give_them_back(
    tmp_path, engine, labels, problem_type, ends_in
):
    activation = softmax if ends_in == "Softmax" else sigmoid
    loaded = load(
        engine, tmp_path, labels=labels, problem_type=problem_type, ends_in=ends_in,
        graph_output="probabilities",
    )  # fmt: skip

    for ids, logits in zip(BATCH, loaded.run(encoded(*BATCH)).tolist(), strict=True):
        wanted = activation(expected(ids, len(labels)))
        np.testing.assert_allclose(activation(logits), wanted, atol=1e-5)


@both_engines
@pytest.mark.parametrize("ends_in", ["Softmax", "Sigmoid"])
def test_probabilities_of_exactly_zero_and_one_stay_finite(tmp_path, engine, ends_in):
    loaded = load(
        engine, tmp_path, ends_in=ends_in, graph_output="probabilities", max_length=400,
        problem_type="single_label" if ends_in == "Softmax" else "multi_label",
    )  # fmt: skip

    (logits,) = loaded.run(encoded([6] * 200)).tolist()

    activation = softmax if ends_in == "Softmax" else sigmoid
    np.testing.assert_allclose(activation(logits), [0, 1], atol=1e-6)


@both_engines
def test_logits_that_are_declared_probabilities_are_an_error_and_not_an_answer(tmp_path, engine):
    loaded = load(engine, tmp_path, graph_output="probabilities")

    with pytest.raises(EngineFailed, match="not probabilities"):
        loaded.run(encoded([4, 6]))
