"""Pairs of texts, multi-label models and models of tensors, from the tokens to the native API."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from serving.bundles.bundle import read_bundle
from serving.bundles.registry import publish
from serving.errors import BundleError
from serving.inference.engine import Resources
from serving.inference.engine_selection import ENGINES
from serving.inference.inputs import Row
from serving.inference.tokenizer import Tokenizer
from tests.support.bundles import WEIGHTS, write_bundle, write_tensor_bundle
from tests.support.processes import serving

WORDS = st.lists(st.sampled_from([*WEIGHTS, "film"]), min_size=1, max_size=12).map(" ".join)


@pytest.fixture(scope="module")
def registry(tmp_path_factory):
    scratch = tmp_path_factory.mktemp("kinds")
    write_bundle(scratch / "pairs", family="entails", pairs=True)
    write_bundle(scratch / "several", family="several", problem_type="multi_label")
    write_tensor_bundle(scratch / "tensors", family="digits")
    for name in ("pairs", "several", "tensors"):
        publish(scratch / name, scratch / "registry")
    return scratch / "registry"


@pytest.fixture(scope="module")
def server(registry):
    with serving(registry) as running:
        yield running


@given(WORDS, WORDS)
def test_a_pair_that_is_too_long_is_cut_to_the_limit_and_says_how_long_it_was(
    registry, first, second
):
    bundle = read_bundle(registry / "entails" / "tiny")
    (encoding,) = Tokenizer(bundle.tokenizer_path, 9, pairs=True).encode([(first, second)])

    assert encoding.full_length == len(first.split()) + len(second.split()) + 3
    assert encoding.length == min(encoding.full_length, 9)
    assert set(encoding.types) == {0, 1}


@pytest.mark.parametrize("name", ENGINES)
def test_an_engine_tells_the_two_texts_apart_in_any_company(registry, name):
    bundle = read_bundle(registry / "entails" / "tiny")
    engine = ENGINES[name](bundle, Resources("cpu", threads=1))
    tokenizer = Tokenizer(bundle.tokenizer_path, 32, pairs=True)

    @settings(deadline=None, max_examples=30)
    @given(st.lists(st.tuples(WORDS, WORDS), min_size=1, max_size=8))
    def alike(pairs):
        logits = engine.run(tokenizer.encode(pairs))
        expected = [sum(WEIGHTS.get(w, 0) for w in a.split()) for a, _ in pairs]
        expected -= np.array([sum(WEIGHTS.get(w, 0) for w in b.split()) for _, b in pairs])
        np.testing.assert_allclose(logits[:, 1], expected, atol=1e-4)

    alike()


@pytest.mark.parametrize("name", ENGINES)
def test_an_engine_runs_rows_of_tensors(registry, name):
    engine = ENGINES[name](read_bundle(registry / "digits" / "mlp"), Resources("cpu", threads=1))
    rows = [Row((np.array(x, np.float32),)) for x in ([1, 0, 0], [0, 2, 5])]

    np.testing.assert_allclose(engine.run(rows), [[1, 0, -1], [-2, -3, 5]])


def test_a_pair_is_classified_as_a_pair(server):
    texts = [["great film", "bad plot"], ["bad plot", "great film"]]
    response = server.classify({"model": "entails", "texts": texts})

    results = response.json()["results"]
    assert [result["label"] for result in results] == ["positive", "negative"]
    assert results[0]["scores"]["positive"] == pytest.approx(1 / (1 + np.exp(-6)))
    assert response.json()["usage"] == {"texts": 2, "tokens": 14}


def test_a_multi_label_model_names_every_label_that_holds(server):
    texts = ["great", "film"]
    results = server.classify({"model": "several", "texts": texts}).json()["results"]

    assert [result["labels"] for result in results] == [["positive"], ["negative", "positive"]]
    assert results[1]["scores"] == {"negative": 0.5, "positive": 0.5}


@pytest.mark.parametrize(
    ("model", "texts", "field", "limit"),
    [
        ("entails", [["a", "b"], "one"], "texts[1]", "pairs of texts"),
        ("several", ["one", ["a", "b"]], "texts[1]", "one text at a time"),
        ("digits", ["one"], "texts[0]", "tensors, by the Open Inference Protocol"),
        ("entails", [["a", ""]], "texts[0][1]", 1),
        ("entails", [["a"]], "texts[0][1]", "missing"),
        ("entails", [["a", "b", "c"]], "texts[0]", 2),
        ("entails", [{"a": "b"}], "texts[0]", "string_type"),
        ("entails", [["good " * 20, "bad " * 20]], "texts[0]", 32),
    ],
)
def test_a_text_of_another_kind_is_refused_by_its_place(server, model, texts, field, limit):
    response = server.classify({"model": model, "texts": texts})

    problem = response.json()
    assert response.status_code in (413, 422)
    assert (problem["field"], problem["limit"]) == (field, limit)


def test_a_graph_that_takes_other_tensors_than_its_manifest_says_is_refused(tmp_path):
    write_tensor_bundle(tmp_path, tensor="y")

    with pytest.raises(BundleError, match="its manifest says"):
        ENGINES["onnxruntime"](read_bundle(tmp_path), Resources("cpu", threads=1))
