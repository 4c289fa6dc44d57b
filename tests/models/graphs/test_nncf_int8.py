"""NNCF reverts operators until the bound of the loss is within the limit, as the recipe asks."""

import nncf
import numpy as np
import pytest

from models.evaluation.noninferiority import largest_loss
from models.graphs import nncf_int8
from serving.bundles.bundle import read_bundle

TEXTS, LIMIT = 300, 0.03


class HandedOver(Exception):
    """What NNCF is called with."""


@pytest.fixture(scope="module")
def handed_over(tone, tmp_path_factory):
    """What NNCF gets where a parent is right about the first 250 of 300 texts."""

    def raising(*_, **options):
        raise HandedOver(options)

    source = read_bundle(tone.folder("teacher-fp32", "export")).model_path
    texts = [(number, np.array([True, False]), number < 250) for number in range(TEXTS)]
    output = tmp_path_factory.mktemp("nncf") / "model.xml"
    asked = {"problem_type": "single_label", "max_accuracy_drop": LIMIT}
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(nncf, "quantize_with_accuracy_control", raising)
        patched.setattr(nncf, "Dataset", lambda items, *_: items)
        with pytest.raises(HandedOver) as caught:
            nncf_int8.write(source, output, [], texts, **asked)
    return caught.value.args[0], texts


def answering(better, worse):
    """A graph that is wrong about the first `worse` texts and right about `better` of the last."""

    def model(number):
        right = worse <= number < 250 + better
        return [np.array([[1.0, 0.0] if right else [0.0, 1.0]])]

    return model


@pytest.mark.parametrize("better", [0, 5, 20])
def test_operators_are_reverted_exactly_while_the_bound_exceeds_the_limit(handed_over, better):
    """They were reverted while the loss itself did, and then the variant was refused."""
    options, texts = handed_over
    metric, most = options["validation_fn"], options["max_drop"]
    source = metric(answering(0, 0), texts)
    enough = {}
    for worse in range(better + 20):
        enough[worse] = source - metric(answering(better, worse), texts) <= most
        assert enough[worse] == (largest_loss(better, worse, TEXTS) <= LIMIT)

    assert len(set(enough.values())) == 2


def test_single_texts_are_ranked_by_whether_they_are_lost(handed_over):
    options, texts = handed_over

    kept, lost = (options["validation_fn"](answering(0, n), texts[:1]) for n in (0, 1))

    assert lost < kept
