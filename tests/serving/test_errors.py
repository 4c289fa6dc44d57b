import json
import math

import pytest

from serving.errors import InvalidField, retry_after_s

HUGE = "x" * 1_000_000


def test_an_error_says_little_of_a_huge_value():
    nested = [HUGE]
    for _ in range(100):
        nested = [nested] * 1000
    values = [HUGE, [HUGE] * 1000, {HUGE: HUGE}, {key: [1] for key in range(5000)}, nested]
    for value in values:
        error = InvalidField(HUGE, field=HUGE, value=value)

        assert len(error.detail) < 5000
        assert len(error.field) < 500
        assert len(json.dumps(error.value)) < 50_000


def test_an_error_shows_a_small_value_as_it_is():
    value = {"names": ["a", "b"], "shape": [1, 2]}

    assert InvalidField("wrong", value=value).value == value


@pytest.mark.parametrize(
    ("wait_s", "whole_s"),
    [(0.0, 1), (0.2, 1), (1.0, 2), (-5.0, 1), (math.inf, 1_000_000_001), (5e300, 1_000_000_001),
     (-math.inf, 1), (math.nan, 1_000_000_001)],
)  # fmt: skip
def test_a_client_is_told_when_to_retry_whatever_was_predicted(wait_s, whole_s):
    assert retry_after_s(wait_s) == whole_s
