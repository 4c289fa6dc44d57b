"""NNCF looks for operators on texts that judge nothing, and what it finds is judged once."""

import openvino
import pytest

from models.data.labelled import read_split
from models.graphs import nncf_int8
from models.recipe import RecipeError
from serving.bundles.bundle import read_bundle
from serving.inference.tokenizer import Tokenizer

QUANTIZE = '[quantize]\nscheme = "int8-openvino"\nmax_accuracy_drop = 0.05\n'

pytestmark = pytest.mark.filterwarnings("ignore")  # what the libraries deprecate in themselves


@pytest.fixture
def searched(monkeypatch):
    """The feeds on which NNCF looks for operators, once it has."""
    feeds, write = [], nncf_int8.write

    def writing(source, output, calibration, search, **options):
        feeds.extend(feed["input_ids"].ravel().tolist() for feed, *_ in search)
        write(source, output, calibration, search, **options)

    monkeypatch.setattr(nncf_int8, "write", writing)
    return feeds


def test_the_search_for_operators_never_sees_the_texts_that_judge_it(tone, searched):
    """It looked at them once a step, and the bound that they then gave was that of one look."""
    folder = tone.make("q-search", QUANTIZE, ["quantize"])
    bundle = read_bundle(folder)
    tokenizer = Tokenizer(bundle.tokenizer_path, bundle.manifest.max_length)

    def ids(split):
        rows = read_split(tone.data, split)
        return [list(encoding.ids) for encoding in tokenizer.encode([row.text for row in rows])]

    judging, training = ids("validation"), ids("train")
    assert searched == training[-len(judging) :]
    assert not [each for each in searched if each in judging]


def test_what_the_search_on_training_texts_found_is_refused_if_it_loses_too_much(tone, monkeypatch):
    """The search is content with the parent's own answers, the validation texts are not."""

    def spoiling(source, output, *_, **__):
        model = openvino.Core().read_model(source)
        (result,) = model.get_results()
        negated = openvino.opset13.negative(result.input_value(0))
        openvino.save_model(
            openvino.Model([negated], model.get_parameters()), output, compress_to_fp16=False
        )

    monkeypatch.setattr(nncf_int8, "write", spoiling)

    with pytest.raises(RecipeError, match=r"more than .* operators kept that \d+ training texts"):
        tone.make("q-spoilt", QUANTIZE, ["quantize"])
