"""NNCF looks for the operators to keep on training texts; the validation texts judge once."""

import numpy as np
import pytest

from models.data.labelled import read_split
from models.evaluation.noninferiority import largest_loss
from models.graphs import nncf_int8
from models.recipe import RecipeError
from models.stages import quantize
from serving.bundles.bundle import read_bundle
from serving.inference.tokenizer import Tokenizer

SECTION = '[quantize]\nscheme = "int8-openvino"\nmax_accuracy_drop = {drop}\n'

pytestmark = pytest.mark.filterwarnings("ignore")  # what the libraries deprecate in themselves


def ids_of(bundle, rows):
    """The token ids of texts, which tell them apart in what NNCF is handed."""
    tokenizer = Tokenizer(bundle.tokenizer_path, bundle.manifest.max_length)
    return [tuple(each.ids) for each in tokenizer.encode([row.text for row in rows])]


@pytest.fixture
def handed_over(monkeypatch):
    """What NNCF is handed, by name of the argument, and how often a bundle was judged."""
    seen = {}
    write, hits = nncf_int8.write, quantize._AccuracyLimit.hits

    def writing(source, output, calibration, searched, **options):
        seen["ids"] = [tuple(np.asarray(feed["input_ids"]).ravel()) for feed, *_ in searched]
        seen["most"] = options["max_accuracy_drop"]
        write(source, output, calibration, searched, **options)

    def judging(self, bundle):
        seen.setdefault("judged", []).append(bundle.model_path.name)
        return hits(self, bundle)

    monkeypatch.setattr(nncf_int8, "write", writing)
    monkeypatch.setattr(quantize._AccuracyLimit, "hits", judging)
    return seen


def test_the_search_sees_training_texts_only_and_the_validation_texts_judge_once(tone, handed_over):
    folder = tone.make("searched", SECTION.format(drop=0.05), ["quantize"])

    bundle = read_bundle(tone.folder("teacher-fp32", "export"))
    train, validation = (read_split(tone.data, name) for name in ("train", "validation"))
    assert handed_over["ids"] == ids_of(bundle, train[-len(validation) :])
    assert not set(handed_over["ids"]) & set(ids_of(bundle, validation))
    assert handed_over["judged"] == ["model.onnx", read_bundle(folder).model_path.name]


def test_what_the_search_allowed_is_refused_if_the_validation_texts_do_not_show_it(
    tone, monkeypatch
):
    monkeypatch.setattr(quantize, "largest_loss", lambda *_: 0.5)

    with pytest.raises(RecipeError, match="operators that NNCF chose on training texts"):
        tone.make("refused", SECTION.format(drop=0.05), ["quantize"])


def test_a_search_on_the_texts_that_judge_would_break_the_bound():
    """Simulated: of 20 sets of operators, each at the limit in truth, the best is kept."""
    random, texts, limit, repeats = np.random.default_rng(2), 1_000, 0.03, 400
    passed = {"searched": 0, "others": 0}
    for _ in range(repeats):
        lost = random.binomial(texts, limit, size=20)
        best = int(np.argmin(lost))
        passed["searched"] += largest_loss(0, int(lost[best]), texts) <= limit
        on_others = random.binomial(texts, limit)  # the best one in truth loses as the others do
        passed["others"] += largest_loss(0, int(on_others), texts) <= limit

    assert passed["searched"] / repeats > 0.3
    assert passed["others"] / repeats <= 0.05 + 3 * (0.05 * 0.95 / repeats) ** 0.5
