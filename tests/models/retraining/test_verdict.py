"""Feedback on two versions: which of it counts, and what it shows."""

from datetime import UTC, datetime

import pytest

from models.evaluation.sequential import Counts
from models.retraining.counted import counting
from models.retraining.verdict import Canaries, Compared, judge
from tests.support.text_logs import START_S, feedback_row

CANARIES = Canaries(
    weight=0.1,
    since=datetime.fromtimestamp(START_S, UTC),
    versions={
        "small": Compared(live="a", canary="b"),
        "large": Compared(live="c", canary="d"),
    },
)


def rows(variant, version, right, wrong, at_s=START_S + 1, **fields):
    return [
        feedback_row(
            str(number),
            "positive",
            "positive" if number < right else "negative",
            variant=variant,
            version=version,
            at_s=at_s,
            **fields,
        )
        for number in range(right + wrong)
    ]


def judged(feedback, *arguments):
    return judge(dict(counting(feedback, CANARIES)).values(), CANARIES, *arguments)


def counts(right, wrong):
    return Counts(right=right, wrong=wrong)


def test_only_feedback_on_the_compared_versions_since_the_start_counts():
    counted = [
        *rows("small", "a", 8, 2),
        *rows("small", "b", 3, 1),
        *rows("large", "c", 5, 0),
        *rows("large", "d", 0, 2, at_s=START_S),
    ]
    others = [
        *rows("small", "older", 50, 50),
        *rows("small", "c", 50, 50),
        *rows("medium", "a", 50, 50),
        *rows("large", "d", 50, 50, at_s=START_S - 1),
        *rows("small", "a", 50, 50, answered=datetime.fromtimestamp(START_S - 1, UTC)),
        *rows("small", "a", 50, 50, alone=False),
    ]

    verdict = judged([*others, *counted])

    assert (verdict.variants["small"].live, verdict.variants["small"].canary) == (
        counts(8, 2), counts(3, 1),
    )  # fmt: skip
    assert (verdict.variants["large"].live, verdict.variants["large"].canary) == (
        counts(5, 0), counts(0, 2),
    )  # fmt: skip
    assert (verdict.pooled.live, verdict.pooled.canary) == (counts(13, 2), counts(3, 3))
    assert verdict.pooled.difference.value == pytest.approx(3 / 6 - 13 / 15)
    assert verdict.decision == "undecided"


def test_callers_who_only_complain_promote_nothing():
    feedback = [*rows("small", "a", 0, 900), *rows("small", "b", 0, 900)]

    verdict = judged(feedback)

    assert verdict.pooled.difference.low > -verdict.margin
    assert verdict.decision == "undecided"
    assert "nobody said that an answer was right" in verdict.words


@pytest.mark.parametrize(
    ("canary", "margin", "decision", "says"),
    [
        ((990, 10), 0.02, "promote", "shown to be less than 2 points worse."),
        ((800, 200), 0.02, "withdraw", "-10.0 points"),
        ((800, 200), 0.5, "withdraw", "shown to be worse."),
        ((905, 95), 0.02, "undecided", "neither shown to be worse"),
        ((905, 95), 0.2, "promote", "1,000 answers of the new versions and 10,000 of the live"),
    ],
)
def test_a_canary_is_promoted_withdrawn_or_watched_on(canary, margin, decision, says):
    feedback = [*rows("small", "a", 9000, 1000), *rows("small", "b", *canary)]

    verdict = judged(feedback, margin)

    assert verdict.decision == decision
    assert says in verdict.words
    assert verdict.variants["large"].difference.low == -1


def test_variants_are_judged_together_where_neither_is_shown_by_itself():
    feedback = []
    for variant, live, canary in (("small", "a", "b"), ("large", "c", "d")):
        feedback += [*rows(variant, live, 2550, 450), *rows(variant, canary, 229, 71)]

    verdict = judged(feedback)

    assert all(each.difference.high > 0 for each in verdict.variants.values())
    assert verdict.decision == "withdraw"


@pytest.mark.parametrize(("right", "decision"), [(60, "promote"), (25, "withdraw")])
def test_a_version_that_is_shown_worse_by_itself_is_not_promoted_with_the_others(right, decision):
    feedback = [
        *rows("small", "a", 600, 400), *rows("small", "b", 2990, 10),
        *rows("large", "c", 600, 400), *rows("large", "d", right, 100 - right),
    ]  # fmt: skip

    verdict = judged(feedback)

    assert verdict.pooled.difference.low > 0
    assert verdict.decision == decision
    assert verdict.worse == (["large"] if decision == "withdraw" else [])
    assert ("large by itself shown to be worse." in verdict.words) is (decision == "withdraw")


def test_a_version_without_feedback_of_its_own_is_named():
    feedback = [*rows("small", "a", 600, 400), *rows("small", "b", 990, 10)]

    named = judged([*feedback, *rows("large", "c", 5, 0)])

    assert named.decision == "promote"
    assert named.words.endswith("Without feedback on its new version: large.")
    assert "Without" not in judged([*feedback, *rows("large", "d", 1, 0)]).words


def test_the_intervals_of_several_variants_hold_together():
    feedback = [*rows("small", "a", 60, 40), *rows("small", "b", 60, 40)]

    alone = judged(feedback, 0.02, 0.975).pooled.difference

    assert judged(feedback).variants["small"].difference.low == pytest.approx(alone.low)


def test_no_feedback_decides_nothing():
    verdict = judged([])

    assert verdict.decision == "undecided"
    assert (verdict.pooled.difference.low, verdict.pooled.difference.high) == (-1, 1)


@pytest.mark.parametrize(
    ("margin", "confidence", "says"), [(-0.1, 0.95, "margin is -0.1"), (0.02, 1.5, "1.5")]
)
def test_what_promises_nothing_is_refused(margin, confidence, says):
    with pytest.raises(ValueError, match=says):
        judged([], margin, confidence)
