"""What is recommended where phases were excluded: what is not known is not called impossible."""

import numpy as np

from loadtest.analysis.recommendation import SizingRequirements, recommend
from loadtest.report.recommendation_text import recommendation_text
from tests.support.disturbed import disturbed_report

REQUIRED = SizingRequirements(50.0, 0.85, 600.0)


def found(is_disturbed, required=REQUIRED):
    return recommend(disturbed_report(np.random.default_rng(2), is_disturbed), required)


def test_without_a_valid_round_nothing_is_recommended_and_nothing_is_impossible():
    told = found(lambda *_: True)
    said = recommendation_text(told)

    assert told.chosen is None
    assert not told.is_impossible
    assert told.unmeasured == ["tone/large", "tone/small"]
    assert "No recommendation for 600 requests/s" in said
    assert "unknown: the p99 of tone/large, tone/small" in said
    assert "slower open load" not in said


def test_a_variant_that_might_do_is_named_beside_the_one_that_is_recommended():
    told = found(lambda name, *_: name == "small")

    assert told.chosen.variant == "large"
    assert told.unmeasured == ["tone/small"]
    assert "unknown: the p99 of tone/small, without a valid round" in recommendation_text(told)


def test_what_is_not_accurate_enough_is_not_missed():
    told = found(lambda name, *_: name == "tiny")

    assert told.unmeasured == []
    assert "unknown" not in recommendation_text(told)


def test_what_no_rate_would_meet_stays_impossible():
    told = found(lambda *_: False, SizingRequirements(0.1, 0.85, 600.0))

    assert told.is_impossible
    assert "No measured variant meets" in recommendation_text(told)
