import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from models.cascade.confidence_calibration import calibrated, scores
from serving.bundles.cascade import Isotonic, Temperature, confidence

KINDS = ("single_label", "multi_label")
some_logits = arrays.arrays(
    np.float64,
    st.tuples(st.integers(5, 40), st.integers(2, 4)),
    elements=st.floats(-9, 9, width=32),
)


def boaster(n, generator, certainty, share_right):
    """Logits of two labels, as sure as `certainty`, and the truth: right so often, by margin."""
    margin = generator.normal(size=n) * certainty
    logits = np.stack([-margin, margin], axis=1)
    right = generator.random(n) < share_right(np.abs(margin))
    truth = np.where(right, logits.argmax(axis=1), logits.argmin(axis=1))
    return logits, np.eye(2, dtype=bool)[truth]


@given(some_logits, st.sampled_from(KINDS), st.floats(0.1, 9), st.randoms(use_true_random=False))
def test_scores_are_what_serving_computes(logits, kind, temperature, random):
    steps = sorted(random.random() for _ in range(5))
    for calibration in (
        None,
        Temperature(temperature=temperature),
        Isotonic(confidences=steps, right=[step**2 for step in steps]),
    ):
        ours = scores(logits, calibration, kind)

        theirs = [confidence(row, calibration, multi_label=kind == KINDS[1]) for row in logits]
        assert ours == pytest.approx(theirs, abs=1e-12)


def test_a_boaster_is_tempered():
    logits, truth = boaster(
        800, np.random.default_rng(0), 9.0, lambda margin: 1 / (1 + np.exp(-margin / 9))
    )

    found = calibrated(logits, truth, "single_label")

    assert isinstance(found, Temperature)
    assert found.temperature > 3


def test_steps_are_taken_where_no_temperature_fits_and_they_ascend_without_many_ties():
    logits, truth = boaster(
        1000, np.random.default_rng(0), 3.0, lambda margin: np.where(margin > 2, 0.99, 0.55)
    )

    found = calibrated(logits, truth, "single_label")

    assert isinstance(found, Isotonic)
    assert all(low <= high for low, high in itertools.pairwise(found.right))
    own = scores(logits, found, "single_label")
    assert np.unique(own).size > 100
    _, counts = np.unique(own, return_counts=True)
    assert counts.max() < 100


@given(some_logits, st.sampled_from(KINDS), st.integers(0, 9))
def test_any_texts_can_be_calibrated(logits, kind, seed):
    truth = np.random.default_rng(seed).random(logits.shape) < 0.5

    found = calibrated(logits, truth, kind)

    assert ((scores(logits, found, kind) >= 0) & (scores(logits, found, kind) <= 1)).all()
