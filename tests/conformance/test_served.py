"""A few architectures over HTTP: what a real server answers is what transformers' pipeline does."""

import pytest

from tests.conformance.inputs import CUT, PAIRS, SINGLE
from tests.conformance.judging import TOLERANCE
from tests.conformance.quiet import quietly
from tests.conformance.reference import Reference
from tests.conformance.rows import imported
from tests.support.processes import serving

ARCHITECTURES = ("albert", "bert", "gpt2", "t5")

pytestmark = pytest.mark.filterwarnings("ignore")  # what the libraries deprecate in themselves


@pytest.fixture(scope="module")
def server(exported, tmp_path_factory):
    registry = tmp_path_factory.mktemp("served")
    with quietly():
        for name in ARCHITECTURES:
            folder = exported(name).folder
            imported(folder, registry, "single", family=f"{name}-single")
            imported(folder, registry, "pair", "--pairs", family=f"{name}-pair")
    with serving(registry) as running:
        yield running


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize(("kind", "texts"), [("single", SINGLE + CUT), ("pair", PAIRS)])
def test_a_server_answers_as_the_pipeline_does(server, exported, architecture, kind, texts):
    classifier = exported(architecture)
    with quietly():
        expected = Reference(classifier.model, classifier.tokenizer).answers(texts)

    said = server.classify({"model": f"{architecture}-{kind}", "texts": texts, "truncate": True})

    assert said.status_code == 200, said.text
    for result, wanted in zip(said.json()["results"], expected, strict=True):
        assert result["label"] == max(wanted.scores, key=wanted.scores.get)
        assert result["scores"] == pytest.approx(wanted.scores, abs=3 * TOLERANCE)
        assert result.get("truncated", False) == (wanted.full_length > len(wanted.ids))
