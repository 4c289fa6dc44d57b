"""What an answer decides: the thresholds of exactly what gave it, or nothing."""

import math
from dataclasses import replace

import pytest

from serving.variants.answers import Answer, Classified, Misconfigured, Undecided, summed_up

TINY, WIDE = ("tiny", "t1"), ("wide", "w1")
THRESHOLDS = {TINY: {"bad": 0.6}, None: {"bad": 0.4, "odd": 0.9}}


def answer(*scores, by=TINY, degraded=False):
    return Answer(list(scores), list(scores), *by, 1.0, None, 0.0, 0.0, degraded=degraded)


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


@pytest.mark.parametrize(
    ("given", "escalated", "decisions"),
    [
        (answer(0.1, 0.6), {"tiny": 0}, {"bad": False, "odd": True}),  # ended with odd
        (answer(0.49, 0.0), {"tiny": 0}, {"bad": False, "odd": False}),  # ended without a label
        (answer(0.49, 0.0, by=WIDE), {"tiny": 1, "wide": 0}, {"bad": True, "odd": False}),
        (answer(0.1, 0.6, degraded=True), {"tiny": 1}, {"bad": False}),  # its own thresholds
        (answer(0.7, 0.0), None, {"bad": True}),  # asked by name
    ],
)
def test_what_a_one_sided_stage_ends_is_flagged_for_its_labels_whatever_the_thresholds(
    given, escalated, decisions
):
    found = replace(family_answer(given, escalated=escalated), one_sided={"tiny"})
    assert found.decisions(given) == decisions


def test_a_cleared_text_is_not_flagged_even_by_a_threshold_of_0_and_an_ended_one_even_by_1():
    for threshold in (0.0, 1.0):
        given = answer(0.1, 0.6)
        found = family_answer(given, {None: {"bad": threshold, "odd": threshold}}, escalated={})
        one_sided = replace(found, one_sided={"tiny"})
        assert one_sided.decisions(given) == {"bad": False, "odd": True}


@pytest.mark.parametrize(
    ("harmless", "flags"),
    [
        (None, {"bad": True, "odd": False}),
        (["bad"], {"odd": False}),
        ([], {"bad": True, "odd": False}),
    ],
)
def test_without_decisions_a_label_that_applies_flags_unless_it_is_harmless(harmless, flags):
    given = answer(0.6, 0.1)
    found = family_answer(given, None)
    assert found.decisions(given) is None
    assert found.flags(given, harmless) == flags


@pytest.mark.parametrize("least_score", [None, -math.inf])
def test_where_a_label_always_applies_nothing_flags_until_it_is_said_what_is_harmless(least_score):
    given = answer(0.6, 0.4)
    found = replace(family_answer(given, None), least_score=least_score)
    with pytest.raises(Misconfigured, match="harmless"):
        found.flags(given, None)
    assert "odd" in found.flags(given, ["bad"])


@pytest.mark.parametrize("decides_long", [True, False])
def test_a_long_text_is_decided_only_if_it_was_read_as_when_the_thresholds_were_chosen(
    decides_long,
):
    for whole in (True, False):
        given = replace(answer(0.7, 0.0), whole=whole)
        found = replace(family_answer(given), decides_long=decides_long)
        assert found.decisions(given) == ({"bad": True} if whole or decides_long else None)
        if not (whole or decides_long):
            with pytest.raises(Undecided, match="too long to be read whole"):
                found.flags(given, ["odd"])


@pytest.mark.parametrize("thresholds", [{}, {WIDE: {"bad": 0.5}}])
@pytest.mark.parametrize("harmless", [None, [], ["odd"]])
def test_what_is_undecided_is_not_judged_by_the_labels_that_apply(thresholds, harmless):
    given = answer(0.6, 0.1)
    with pytest.raises(Undecided, match="tiny of tone is undecided: no thresholds") as refused:
        family_answer(given, thresholds).flags(given, harmless)

    assert (refused.value.status, refused.value.reason) == (503, "undecided")


def test_what_is_decided_flags_whatever_applies_and_is_harmless():
    given = answer(0.4, 0.0)
    found = family_answer(given, escalated={"tiny": 0})
    assert found.flags(given, ["bad"]) == {"bad": True, "odd": False}
