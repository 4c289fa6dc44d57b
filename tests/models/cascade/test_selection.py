import itertools
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from models.cascade.scored_texts import LabelledLogits, Problem, scored, within
from models.cascade.selection import select
from serving.bundles.cascade import Stage
from tests.support.cascade_problems import BIG, COSTS, answers, problem

ESTIMATE = {"value": 0.9, "low": 0.8, "high": 1.0}


losses = st.sampled_from(["agreement", "accuracy"])


@settings(max_examples=20)
@given(st.integers(0, 99), losses)
def test_the_sequence_gets_cheaper_and_riskier_and_costs_less_than_the_reference(seed, loss):
    asked = problem(loss)
    ordered = answers(300, seed)
    found = select(ordered, answers(300, seed + 1), asked)
    texts = scored(ordered, found.calibrations, asked)

    costs = [texts.cost(candidate, COSTS) for candidate in found.sequence]

    assert found.sequence
    assert all(low <= high + 1e-9 for high, low in itertools.pairwise(costs))
    assert costs[0] < COSTS[BIG]


@settings(max_examples=10)
@given(st.integers(0, 99), losses)
def test_what_is_tested_does_not_change_the_order(seed, loss):
    ordered = answers(300, seed)

    one, other = (select(ordered, answers(300, seed + k), problem(loss)) for k in (1, 2))

    assert one.sequence == other.sequence
    assert one.calibrations == other.calibrations


def test_a_laxer_target_is_met_by_a_cheaper_cascade():
    costs = []
    for max_loss in (0.01, 0.03, 0.1):
        asked = problem(max_loss=max_loss)
        found = select(answers(1500, 0), answers(1500, 1), asked)
        texts = scored(answers(1500, 2), found.calibrations, asked)
        costs.append(texts.cost(found.chosen, COSTS))
        assert texts.worst(found.chosen) <= max_loss

    assert costs[2] < costs[1] < costs[0] < COSTS[BIG]


def test_each_label_is_harder_to_show_than_all_together():
    together, each = (
        select(answers(1500, 0), answers(1500, 1), problem(each_label=each_label))
        for each_label in (False, True)
    )

    assert each.tested.groups.sum() == 1500
    assert each.tested.cost(each.chosen, COSTS) >= together.tested.cost(together.chosen, COSTS)


def test_too_few_texts_show_nothing():
    assert select(answers(300, 0), answers(60, 1), problem()).chosen is None


@settings(max_examples=10)
@given(st.integers(0, 99), losses, st.sampled_from([None, (0,), (1,), (0, 1)]))
def test_serving_escalates_exactly_the_texts_that_were_escalated_in_the_test(seed, loss, early):
    tests = answers(1200, seed + 1)
    asked = replace(problem(loss, 0.06), early_labels=early)
    found = select(answers(1200, seed), tests, asked)
    candidate = found.chosen
    stages = [
        Stage.model_validate_json(
            Stage(
                variant=f"v{variant}",
                version="1",
                calibration=found.calibrations[variant],
                threshold=threshold,
                early_labels=early and [str(each) for each in early],
                reach=1.0,
                accuracy=ESTIMATE,
            ).model_dump_json()
        )
        for variant, threshold in zip(
            candidate.variants, (*candidate.thresholds, None), strict=True
        )
    ]

    for number, expected in enumerate(found.tested.answering(candidate)):
        answered = next(
            variant
            for variant, stage in zip(candidate.variants, stages, strict=True)
            if stage.sure(tests.logits[variant, number].tolist(), ["0", "1"], multi_label=False)
        )
        assert answered == expected


@settings(max_examples=10)
@given(st.integers(0, 99), st.sampled_from([(0,), (1,)]))
def test_a_one_sided_cascade_ends_no_text_early_with_another_label_and_costs_more(seed, early):
    ordered, tests = answers(1200, seed), answers(1200, seed + 1)
    found = select(ordered, tests, replace(problem(max_loss=0.06), early_labels=early))
    by = found.tested.answering(found.chosen)
    given_labels = tests.logits[by, np.arange(1200)].argmax(axis=1)
    ended = by != found.chosen.variants[-1]

    assert 0 < ended.mean() < 0.7
    assert set(given_labels[ended]) == set(early)
    both = select(ordered, tests, problem(max_loss=0.06))
    assert found.tested.cost(found.chosen, COSTS) > both.tested.cost(both.chosen, COSTS)


def test_a_variant_that_never_gives_an_early_label_ends_nothing():
    texts = answers(1200, 0)
    texts.logits[:BIG, :, 0] = texts.logits[:BIG].max(axis=2) + 1
    found = select(texts, texts, replace(problem(), early_labels=(1,)))

    assert found.sequence
    for each in found.sequence:
        assert set(found.tested.answering(each)) == {each.variants[-1]}


def test_with_several_labels_a_text_ends_early_if_it_has_no_other_than_these():
    logits = np.array([[-1.0, -1.0], [1.0, -1.0], [-1.0, 1.0], [1.0, 1.0]])
    given = logits >= 0

    assert within(given, ()).tolist() == [True, False, False, False]
    assert within(given, (0,)).tolist() == [True, True, False, False]
    assert within(given, (0, 1)).all()
    assert within(given, None).all()


def test_a_text_may_have_several_labels():
    asked = Problem(problem(max_loss=0.1).target, "multi_label", BIG, COSTS, (0, 1, 2))

    found = select(answers(800, 0), answers(800, 1), asked)

    assert found.chosen is not None


def without_a_label(n, seed, share=0.3, flipped=0.15):
    """Texts of two labels; the small variants give one to some of those that have none."""
    texts, generator = answers(n, seed), np.random.default_rng(seed)
    logits = texts.logits.copy()
    bare = generator.random(n) < share
    logits[:, bare] = -4.0
    wrong = bare & (generator.random(n) < flipped)
    logits[:BIG, wrong, 0] = 4.0
    truth = texts.truth.copy()
    truth[bare] = False
    return LabelledLogits(truth, logits)


def test_the_texts_without_a_label_are_guaranteed_too():
    """They were in no group, and the cascade that was chosen lost 15.9 % of them."""
    asked = replace(problem(max_loss=0.08, each_label=True), problem_type="multi_label")
    tested, judging = without_a_label(1500, 1), without_a_label(3000, 2)
    found = select(without_a_label(1500, 0), tested, asked)
    judged = scored(judging, found.calibrations, asked)
    bare = ~judged.groups[:2].any(axis=0)

    assert len(judged.groups) == 3
    assert (judged.groups[2] == bare).all()
    assert judged.lost(found.chosen)[bare].mean() <= 0.08
    assert (
        scored(answers(300, 3), found.calibrations, problem(each_label=True)).groups.shape[0] == 2
    )


def test_only_the_eligible_variants_are_used():
    asked = replace(problem(max_loss=0.15), eligible=(0, 1))

    found = select(answers(800, 0), answers(800, 1), asked)

    assert {candidate.variants for candidate in found.sequence} == {(0, 1)}


@pytest.mark.slow
def test_the_guarantee_holds_over_many_draws():
    pool, generator = answers(3000, 5), np.random.default_rng(0)
    asked = problem(max_loss=0.04)

    over = 0
    for _ in range(120):
        ordered, tested = (pool.of(generator.integers(0, 3000, 300)) for _ in range(2))
        found = select(ordered, tested, asked)
        texts = scored(pool, found.calibrations, asked)
        over += found.chosen is not None and texts.worst(found.chosen) > 0.04

    assert stats.binomtest(over, 120, 0.05, alternative="greater").pvalue > 0.001
