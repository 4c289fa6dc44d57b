import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving.bundles.probabilities import sigmoid, softmax

FLOATS = st.floats(allow_nan=False, allow_infinity=False, width=32)
LOGITS = st.lists(st.floats(-3e38, 3e38), min_size=1, max_size=8)


@given(LOGITS)
def test_softmax_gives_probabilities_that_sum_to_one_for_any_finite_logits(logits):
    probabilities = softmax(logits)

    assert all(0 <= p <= 1 for p in probabilities)
    assert sum(probabilities) == pytest.approx(1)
    assert probabilities[logits.index(max(logits))] == max(probabilities)


@given(LOGITS)
def test_sigmoid_gives_independent_probabilities_in_the_order_of_the_logits(logits):
    probabilities = sigmoid(logits)

    assert all(0 <= p <= 1 for p in probabilities)
    by_logit = [p for _, p in sorted(zip(logits, probabilities, strict=True))]
    assert by_logit == sorted(by_logit)


@given(LOGITS, st.floats(0.05, 20))
def test_a_temperature_never_changes_which_label_is_likeliest(logits, temperature):
    cooler = softmax(logits, temperature)

    assert cooler[logits.index(max(logits))] == max(cooler)
    assert sum(cooler) == pytest.approx(1)


@given(st.one_of(st.floats(-3e38, -1e-9), st.floats(0, 3e38)), st.floats(0.05, 20))
def test_a_temperature_never_moves_a_probability_across_one_half(logit, temperature):
    (before,), (after,) = sigmoid([logit]), sigmoid([logit], temperature)

    assert (after >= 0.5) == (before >= 0.5) == (logit >= 0)


def test_a_temperature_divides_the_logits():
    assert softmax([0.0, 3.0], 2.0) == softmax([0.0, 1.5])
    assert sigmoid([0.0, 3.0], 2.0) == sigmoid([0.0, 1.5])


def test_known_values():
    assert softmax([0.0, 1.0986122886681098]) == pytest.approx([0.25, 0.75])
    assert sigmoid([0.0, 1.0986122886681098]) == pytest.approx([0.5, 0.75])
