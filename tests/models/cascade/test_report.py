"""What the report of a cascade says about its judgement, and the axes of its picture."""

from dataclasses import replace

import numpy as np
import pytest

from models.cascade import report
from models.cascade.costs import Costs
from models.cascade.looks import Looks
from models.cascade.observations import Observations
from models.cascade.text_sets import TextSet
from serving.bundles.bundle import Manifest
from tests.support.bundles import evaluation
from tests.support.cascade_problems import COSTS, answers, problem
from tests.support.cascade_problems import chosen as chosen_by

NAMES = ("small", "medium", "large")


def observed(test_noise=(1.6, 0.8, 0.3), costs_s=COSTS / 1000):
    """Observations of three variants, whose test texts may be noisier than the others."""
    manifests = [
        Manifest.model_construct(
            family="tone",
            variant=name,
            version=str(number) * 16,
            bytes=number,
            labels=["negative", "positive"],
            problem_type="single_label",
            evaluations={"test": evaluation(0.9)},
        )
        for number, name in enumerate(NAMES, 1)
    ]
    logits = answers(1500, 0), answers(1500, 1), answers(1500, 2, test_noise)
    texts = tuple(
        TextSet(["text"] * 1500, each.truth, str(number) * 64) for number, each in enumerate(logits)
    )
    costs = Costs(costs_s, np.repeat(costs_s[:, None], 50, 1))
    return Observations(manifests, texts, logits, costs, NAMES)


def chosen(found):
    selection, cascade = chosen_by(found, problem(max_loss=0.06).target)
    return cascade, found, selection


def test_a_target_that_the_test_split_refutes_is_flagged():
    kept, refuted = (
        report.summary(*chosen(observed(noise)), Looks(1, 1))
        for noise in ((1.6, 0.8, 0.3), (2.8, 2.0, 0.3))
    )

    assert "The test split is consistent with the guarantee (a loss of " in kept
    assert "THE TEST SPLIT REFUTES THE GUARANTEE (a loss of " in refuted


def test_the_figures_in_batches_stand_beside_those_of_the_cards():
    found = observed()
    card = found.manifests[2].evaluations["test"]
    found.manifests[2].evaluations["test"] = card.model_copy(update={"split_sha256": "2" * 64})

    said = report.summary(*chosen(found), Looks(1, 1))

    assert "| alone, on the test split | accuracy in batches of 8, % | accuracy one by one" in said
    assert any(
        line.startswith("| large | ") and line.endswith("| 90.0 (88.0 to 92.0) |")
        for line in said.splitlines()
    )
    assert said.count(" | - |\n") >= 1


@pytest.mark.parametrize("costs_ms", [(1, 3, 9), (2.1, 3.1, 4.6), (0.12, 0.14, 0.18)])
def test_the_picture_s_axes_are_named_and_labelled_however_alike_the_costs_are(costs_ms):
    """Costs of 2.1 to 4.6 ms had no label at all."""
    figure = report.picture(*chosen(observed(costs_s=np.array(costs_ms) / 1000)))
    figure.canvas.draw()
    (axes,) = figure.axes

    assert "core ms" in axes.get_xlabel()
    assert "accuracy" in axes.get_ylabel()
    for axis, (low, high) in ((axes.xaxis, axes.get_xlim()), (axes.yaxis, axes.get_ylim())):
        ticks = zip(axis.get_majorticklocs(), axis.get_majorticklabels(), strict=True)
        shown = [label.get_text() for place, label in ticks if low <= place <= high]
        assert len(shown) >= 2
        assert all(shown)
        assert len(set(shown)) == len(shown)


@pytest.mark.parametrize("bare", [0, 400])
def test_texts_without_a_label_that_calibration_lacks_are_said_not_to_be_shown(bare):
    single = observed()
    for each in single.logits:
        each.logits[:, :bare] = -4.0
        each.truth[:bare] = False
    found = replace(
        single,
        manifests=[
            manifest.model_copy(update={"problem_type": "multi_label"})
            for manifest in single.manifests
        ],
    )
    selection, cascade = chosen_by(found, problem(max_loss=0.1, each_label=True).target)

    said = report.summary(cascade, found, selection, Looks(1, 1))

    assert cascade.unlabelled == bare
    assert ("not shown for texts without a label: calibration has none" in said) == (not bare)


def test_the_best_of_eight_looks_is_worth_less():
    said = report.summary(*chosen(observed()), Looks(8, 8))

    assert "look 8 at the test split and 8 at the calibration texts" in said
    assert "the guarantee of the best holds with 60% instead of 95%" in said
    assert Looks(30, 30).worth(0.95) == 0


def test_the_first_look_is_said_to_be_that_at_exactly_these_texts():
    said = report.summary(*chosen(observed()), Looks(1, 1))

    assert "the first look at exactly these texts" in said
    assert "looks at a table that shares most of them are not counted" in said
