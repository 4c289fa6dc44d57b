"""What an answer decides: the thresholds of exactly what gave it, or nothing."""

import pytest

from serving.variants.answers import Answer, Classified, summed_up

TINY, WIDE = ("tiny", "t1"), ("wide", "w1")
THRESHOLDS = {TINY: {"bad": 0.6}, None: {"bad": 0.4, "odd": 0.9}}


def answer(*scores, by=TINY, degraded=False):
    return Answer(list(scores), list(scores), *by, 1.0, None, 0.0, 0.0, degraded)


def family_answer(given, thresholds=THRESHOLDS, *, escalated=None):
    only = Classified(["bad", "odd"], 0.5, *TINY, [given], 3, 0.0, 0.0, None)
    return summed_up("tone", [given], [only], escalated, thresholds)


@pytest.mark.parametrize(
    ("given", "escalated", "decisions"),
    [
        (answer(0.6, 0.0), None, {"bad": True}),  # from the threshold on
        (answer(0.59, 1.0), None, {"bad": False}),
        (answer(0.5, 0.0), {"tiny": 0}, {"bad": True, "odd": False}),
        (answer(0.5, 0.0, by=WIDE), {"tiny": 1, "wide": 0}, {"bad": True, "odd": False}),
        (answer(0.5, 0.0, degraded=True), {"tiny": 1}, {"bad": False}),  # ended by overload
        (answer(0.9, 0.9, by=WIDE), None, None),  # no thresholds of its own
        (answer(0.9, 0.9, by=("tiny", "t2")), None, None),  # a canary
    ],
)
def test_the_thresholds_are_those_of_what_answered(given, escalated, decisions):
    found = family_answer(given, escalated=escalated)
    assert found.decisions(given) == decisions


@pytest.mark.parametrize("thresholds", [None, {}])
@pytest.mark.parametrize(("scores", "applies"), [((0.6, 0.1), True), ((0.4, 0.1), False)])
def test_without_decisions_a_text_is_flagged_if_a_label_applies(thresholds, scores, applies):
    given = answer(*scores)
    found = family_answer(given, thresholds)
    assert found.decisions(given) is None
    assert found.flagged(given) is applies


def test_a_text_is_flagged_if_any_decision_is_true_whatever_labels_apply():
    flagged, passed = answer(0.4, 0.0), answer(0.39, 0.89)
    assert family_answer(flagged, escalated={"tiny": 0}).flagged(flagged)
    assert not family_answer(passed, escalated={"tiny": 0}).flagged(passed)
