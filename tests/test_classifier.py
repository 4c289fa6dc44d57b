import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from serving.classifier import sigmoid, softmax

LOGITS = arrays(
    np.float32,
    array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=6),
    elements=st.floats(-(2.0**127), 2.0**127, width=32),
)


@given(LOGITS)
def test_softmax_gives_probabilities_that_sum_to_one_for_any_finite_logits(logits):
    probabilities = softmax(logits)

    assert np.all((probabilities >= 0) & (probabilities <= 1))
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, rtol=1e-12)
    rows = np.arange(len(logits))
    assert np.all(probabilities[rows, logits.argmax(axis=1)] == probabilities.max(axis=1))


@given(LOGITS)
def test_sigmoid_gives_independent_probabilities_in_the_order_of_the_logits(logits):
    probabilities = sigmoid(logits)

    assert np.all((probabilities >= 0) & (probabilities <= 1))
    for row, scores in zip(logits, probabilities, strict=True):
        assert np.all(np.diff(scores[np.argsort(row)]) >= 0)


def test_known_values():
    np.testing.assert_allclose(softmax([[0.0, np.log(3.0)]]), [[0.25, 0.75]])
    np.testing.assert_allclose(sigmoid([[0.0, np.log(3.0)]]), [[0.5, 0.75]])
