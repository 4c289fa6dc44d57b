"""Zero-shot classification: the Hub's client, answered as transformers' own pipeline answers."""

import json
from itertools import product

import pytest
from transformers import BertConfig, pipeline

from models.graphs.import_bundle import import_folder
from serving.bundles.registry import publish
from tests.support.bundles import write_bundle
from tests.support.clients import ask
from tests.support.exported_folders import SHAPE, export_folder
from tests.support.processes import serving

TEXT = "a very good film , not dull"
LABELS = ["good", "dull, warm", "the plot", "good", "bad"]
TEMPLATES = ["the film was {} .", "{}"]
# The orders of MNLI's usual models: RoBERTa's, BART's, DeBERTa's, and one of two labels.
ORDERS = {
    "roberta": ["CONTRADICTION", "NEUTRAL", "ENTAILMENT"],
    "cross": ["contradiction", "entailment", "neutral"],
    "deberta": ["entailment", "neutral", "contradiction"],
    "two": ["entailment", "not_entailment"],
}


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """The exported folder of each family."""
    scratch = tmp_path_factory.mktemp("nli")
    for name, labels in ORDERS.items():
        names = dict(enumerate(labels))
        ids = {label: place for place, label in names.items()}
        export_folder(scratch / name, BertConfig(**SHAPE, id2label=names, label2id=ids))
    return scratch


@pytest.fixture(scope="module")
def server(folders):
    registry = folders / "registry"
    for name in ORDERS:
        import_folder(folders / name, name, "base", registry, pairs=True, as_is=True)
    write_bundle(folders / "plain-bundle", family="plain")
    publish(folders / "plain-bundle", registry)
    with serving(registry) as running:
        yield running


@pytest.mark.parametrize("name", ORDERS)
def test_the_hubs_client_gets_what_transformers_pipeline_answers(server, folders, name):
    classify = pipeline("zero-shot-classification", model=str(folders / name), device="cpu")

    arguments = (f"{server.url}/models/{name}", TEXT, json.dumps(LABELS), *TEMPLATES)
    found = ask("zero_shot", *arguments)

    ways = list(product((LABELS, LABELS[:1]), (False, True), (None, *TEMPLATES)))
    assert len(found["answers"]) == len(ways) == 12
    for answer, (labels, multi_label, template) in zip(found["answers"], ways, strict=True):
        how = {"hypothesis_template": template} if template else {}
        expected = classify(TEXT, labels, multi_label=multi_label, **how)
        assert [score for _, score in answer] == pytest.approx(expected["scores"], abs=1e-5)
        assert [label for label, _ in answer] == expected["labels"]
    assert len({score for _, score in found["answers"][0]}) > 2, "the model tells labels apart"
    assert [status for status, _ in found["refused"]] == [422, 422, 404, 422]
    told = [said for _, said in found["refused"]]
    assert "at least one label" in told[0]
    assert "one {}" in told[1]
    assert "plain reads no pairs of texts: zero-shot classification needs" in told[3]
