"""A reference that is dynamically quantised answers otherwise beside other texts.

The standard is what it answers alone.
"""

from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from models.cascade.costs import Costs
from models.cascade.observations import Observations
from models.cascade.scored_texts import LabelledLogits, scored
from models.cascade.selection import select
from models.cascade.text_sets import TextSet
from models.recipe import RecipeError
from serving.bundles.bundle import Manifest
from serving.bundles.windows import Windows
from tests.support.cascade_problems import BIG, COSTS, answers, chosen, problem

NOISE = 0.12
TARGET = problem("agreement", 0.02)


def in_batches(n, seed, noise=NOISE):
    """The reference's logits move a little with the batch, so some of its answers change."""
    texts, generator = answers(n, seed), np.random.default_rng(seed + 100)
    moved = texts.logits.copy()
    moved[BIG] += noise * generator.normal(size=(n, 1)) * [-1, 1]
    return LabelledLogits(texts.truth, moved, texts.logits[BIG])


def lost(found, judging):
    """The share of texts that the chosen cascade answers otherwise than the reference alone."""
    return scored(judging, found.calibrations, TARGET).worst(found.chosen)


@pytest.mark.slow
def test_the_target_holds_against_the_reference_asked_alone():
    """Judged by its answers in the same batches, 36 of 40 re-splits missed the target."""
    pool, generator = in_batches(20_000, 0), np.random.default_rng(0)
    over = 0
    for _ in range(40):
        ordered, tested = (pool.of(generator.integers(0, 20_000, 2500)) for _ in range(2))
        found = select(ordered, tested, TARGET)
        over += found.chosen is not None and lost(found, pool) > TARGET.target.max_loss

    assert stats.binomtest(over, 40, 0.05, alternative="greater").pvalue > 0.001


def test_the_reference_itself_loses_where_its_batch_changes_its_answer():
    texts = in_batches(2000, 1)
    calibrations = select(texts, texts, TARGET).calibrations

    own = scored(texts, calibrations, TARGET).losses[BIG]

    changed = texts.logits[BIG].argmax(axis=1) != texts.alone.argmax(axis=1)
    assert 0.005 < changed.mean() < 0.03
    assert (own == changed).all()
    assert (texts.of(np.arange(5)).alone == texts.alone[:5]).all()


def observed(noise):
    manifests = [
        Manifest.model_construct(
            family="tone", variant=name, version=name[0] * 16, bytes=size, evaluations={},
            labels=["negative", "positive"], problem_type="single_label",
        )
        for size, name in enumerate(("small", "medium", "large"), 1)
    ]  # fmt: skip
    logits = tuple(in_batches(1500, seed, noise) for seed in range(3))
    sets = tuple(TextSet([], each.truth, str(n) * 64) for n, each in enumerate(logits))
    costs = Costs(COSTS / 1000, np.ones((3, 50)))
    engines = {"small": "onnxruntime, int8", "medium": "openvino, bf16", "large": "openvino, bf16"}
    return Observations(manifests, sets, logits, costs, ("small", "medium", "large"), engines)


def test_a_target_below_the_reference_s_own_disagreement_is_refused():
    target = TARGET.target.model_copy(update={"max_loss": 0.01})

    with pytest.raises(RecipeError, match=r"in batches of 8 large itself answers [2-9]\.\d+% of"):
        chosen(observed(0.4), target)


def test_the_file_says_how_often_the_reference_disagrees_with_itself_and_what_ran_the_variants():
    target = TARGET.target.model_copy(update={"max_loss": 0.06})

    _, cascade = chosen(observed(NOISE), target)

    assert 0.005 < cascade.self_disagreement.value < 0.03
    assert {stage.variant for stage in cascade.stages} <= set(cascade.engines) | {"large"}
    assert cascade.engines["large"] == "openvino, bf16"


def test_a_cascade_is_unproven_where_a_variant_runs_otherwise_than_when_it_was_shown():
    _, cascade = chosen(observed(NOISE), TARGET.target.model_copy(update={"max_loss": 0.06}))
    same = dict(cascade.engines)

    assert cascade.unproven(same, {}, Windows()) == []
    assert cascade.unproven(same | {"large": "openvino, f32"}, {}, Windows()) == ["large"]
    assert cascade.model_copy(update={"engines": {}}).unproven(same, {}, Windows()) == []


def test_without_logits_of_its_own_the_reference_is_what_it_answers_in_batches():
    texts = replace(in_batches(300, 2), alone=None)

    assert (texts.referred(TARGET).argmax(axis=1) == texts.logits[BIG].argmax(axis=1)).all()
