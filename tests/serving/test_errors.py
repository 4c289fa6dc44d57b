import json

from serving.errors import InvalidField

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
