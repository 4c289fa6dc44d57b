"""What is odd about a request for zero-shot classification is answered, what is wrong is named."""

import json

import httpx
import pytest

from serving.bundles.registry import publish
from tests.support.bundles import write_bundle, write_tensor_bundle
from tests.support.metric_values import total
from tests.support.odd_graphs import write_odd_bundle, write_reranker
from tests.support.processes import serving

NLI = ("contradiction", "neutral", "Entailment")
LABELS = "parameters.candidate_labels"


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    scratch = tmp_path_factory.mktemp("kinds")
    write_reranker(scratch / "nli", "nli", labels=NLI)
    write_reranker(scratch / "passages")
    write_reranker(scratch / "same", "same", labels=("no", "yes"))
    write_reranker(scratch / "alone", "alone", labels=("entailment",))
    write_odd_bundle(scratch / "words", family="words", labels=NLI)
    write_bundle(scratch / "tone")
    write_tensor_bundle(scratch / "digits")
    for family in ("nli", "passages", "same", "alone", "words", "tone", "digits"):
        publish(scratch / family, scratch / "registry")
    with serving(scratch / "registry") as running:
        yield running
        assert total(running.metrics(), "sizewise_requests_total", code="500") == 0


def ask(server, inputs, labels, family="nli", **parameters):
    content = {"inputs": inputs, "parameters": {"candidate_labels": labels} | parameters}
    return httpx.post(
        f"{server.url}/models/{family}",
        content=json.dumps(content).encode(),
        headers={"Content-Type": "application/json"},
        timeout=30,
    )


def test_a_string_of_labels_is_split_at_its_commas_and_a_list_is_not(server):
    together = ask(server, "good film", "good, bad,, plot ").json()
    apart = ask(server, "good film", ["good, bad", "plot"]).json()

    assert sorted(each["label"] for each in together) == ["bad", "good", "plot"]
    assert sorted(each["label"] for each in apart) == ["good, bad", "plot"]
    assert sum(each["score"] for each in together) == pytest.approx(1)


def test_labels_that_are_sent_twice_are_answered_twice(server):
    found = ask(server, "good film", ["good", "bad", "good"], multi_label=True).json()

    assert [each["label"] for each in found] == ["bad", "good", "good"]
    assert found[1]["score"] == found[2]["score"]


def test_a_text_that_is_too_long_is_cut_unless_that_is_forbidden(server):
    text = "good " * 99

    assert ask(server, text, ["good", "bad"]).status_code == 200
    refused = ask(server, text, ["good", "bad"], truncation=False)
    assert refused.status_code == 422
    assert f"{LABELS}[0] has" in refused.json()["error"]


def test_the_request_counts_as_many_texts_as_it_has_labels(server):
    before = total(server.metrics(), "sizewise_texts_total", model="nli")
    ask(server, "good plot", ["awful", "great", "film"])

    assert total(server.metrics(), "sizewise_texts_total", model="nli") == before + 3


@pytest.mark.parametrize(
    ("sent", "status", "field"),
    [
        (("a", [], {}), 422, LABELS),
        (("a", "", {}), 422, LABELS),
        (("a", " , ", {}), 422, LABELS),
        (("a", 7, {}), 422, LABELS),
        (("a", {"a": "b"}, {}), 422, LABELS),
        (("a", ["b", None], {}), 422, f"{LABELS}[1]"),
        (("a", ["b", ""], {}), 422, f"{LABELS}[1]"),
        (("a", [float("nan")], {}), 422, f"{LABELS}[0]"),
        (("a", [["b", "c"]], {}), 422, f"{LABELS}[0]"),
        (("a", [1] * 20_000, {}), 422, f"{LABELS}[0]"),
        (("a", ["b"] * 257, {}), 413, LABELS),
        (("a", ["b"] * 20_000, {}), 413, LABELS),
        (("a" * 5_000, ["b"] * 256, {}), 413, LABELS),
        (("a" * 20_001, ["b"], {}), 422, "inputs"),
        (("a", ["b" * 20_001], {}), 422, f"{LABELS}[0]"),
        (("", ["b"], {}), 422, "inputs"),
        ((None, ["b"], {}), 422, "inputs"),
        ((["a"], ["b"], {}), 422, "inputs"),
        (({"text": "a"}, ["b"], {}), 422, "inputs"),
        (("a", ["b"], {"hypothesis_template": ""}), 422, "parameters.hypothesis_template"),
        (("a", ["b"], {"hypothesis_template": "none"}), 422, "parameters.hypothesis_template"),
        (("a", ["b"], {"hypothesis_template": "{} {}"}), 422, "parameters.hypothesis_template"),
        (("a", ["b"], {"hypothesis_template": "{0:>9999999}"}), 422, "parameters.hypothesis_templ"),
        (("a", ["b"], {"hypothesis_template": "{}{0.__class__}"}), 422, "parameters.hypothesis_t"),
        (
            ("a", ["b"], {"hypothesis_template": "{}" + "a" * 20_001}),
            422,
            "parameters.hypothesis_t",
        ),
        (("a", ["b"] * 256, {"hypothesis_template": "{}" + "a" * 9_000}), 413, LABELS),
        (("a", ["b"], {"hypothesis_template": 7}), 422, "parameters.hypothesis_template"),
        (("a", ["b"], {"multi_label": "yes"}), 422, "parameters.multi_label"),
        (("a", ["b"], {"top_k": 1}), 422, "parameters.top_k"),
        (("a", ["b"], {"function_to_apply": "none"}), 422, "parameters.function_to_apply"),
        (("a", None, {"multi_label": True}), 422, "parameters.multi_label"),
        (("a", None, {"hypothesis_template": "{}"}), 422, "parameters.hypothesis_template"),
    ],
    ids=lambda value: str(value)[:30],
)
def test_what_is_wrong_is_named(server, sent, status, field):
    inputs, labels, parameters = sent
    answer = ask(server, inputs, labels, **parameters)

    assert answer.status_code == status
    assert f"field: {field}" in answer.json()["error"]
    assert len(answer.content) < 3000


@pytest.mark.parametrize(
    ("family", "said"),
    [
        ("passages", "has the labels relevant"),
        ("same", "has the labels no, yes"),
        ("alone", "has the labels entailment"),
        ("words", "reads no pairs of texts"),
        ("tone", "reads no pairs of texts"),
        ("digits", "reads no pairs of texts"),
    ],
)
def test_a_family_that_knows_no_entailment_is_refused_with_what_it_takes(server, family, said):
    answer = ask(server, "good film", ["good"], family)

    assert answer.status_code == 422
    assert f"{family} {said}: zero-shot classification needs" in answer.json()["error"]
