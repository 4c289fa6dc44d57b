"""Calibrates confidence: scores that estimate the probability of being right. Pure."""

import numpy as np
from scipy import optimize

from models.evaluation.predictions import predicted, probabilities
from models.evaluation.statistics import Flags, Floats, correct
from models.evaluation.temperature import fitted_temperature
from models.recipe_sections import ProblemType
from serving.bundles.cascade import Isotonic, Temperature

_FOLDS = 5
_STEPS = 200


def calibrated(
    logits: Floats, standard: Flags, problem_type: ProblemType
) -> Temperature | Isotonic:
    """Fit a temperature or an isotonic regression, whichever has the lower Brier score (1950).

    The score is out of sample, by five-fold cross-validation. `logits` and `standard`, the labels
    that count as right, have the shape (texts, labels); the texts must be in random order.
    """
    hits = correct(standard, predicted(logits, problem_type))
    fold = np.arange(len(hits)) % _FOLDS
    losses = {}
    for fitted in (_temperature, _isotonic):
        squares = np.empty(len(hits))
        for out in (fold == number for number in range(_FOLDS)):
            calibration = fitted(logits[~out], standard[~out], problem_type)
            squares[out] = (scores(logits[out], calibration, problem_type) - hits[out]) ** 2
        losses[fitted] = squares.mean()
    return min(losses, key=losses.__getitem__)(logits, standard, problem_type)


def scores(
    logits: Floats, calibration: Temperature | Isotonic | None, problem_type: ProblemType
) -> Floats:
    """Compute serving.bundles.cascade.confidence for many texts: (texts, labels) to (texts,)."""
    temperature = calibration.temperature if isinstance(calibration, Temperature) else 1.0
    shares = probabilities(logits, problem_type, temperature)
    if problem_type == "multi_label":
        raw = np.maximum(shares, 1 - shares).min(axis=1)
    else:
        raw = shares.max(axis=1)
    if isinstance(calibration, Isotonic):
        at = np.searchsorted(calibration.confidences, raw, side="right") - 1
        return np.asarray(np.array(calibration.right)[np.maximum(at, 0)])
    return np.asarray(raw)


def _temperature(logits: Floats, standard: Flags, problem_type: ProblemType) -> Temperature:
    return Temperature(temperature=fitted_temperature(logits, standard, problem_type))


def _isotonic(logits: Floats, standard: Flags, problem_type: ProblemType) -> Isotonic:
    """Centred isotonic regression (Oron and Flournoy 2017): lines between the blocks' centres.

    Blocks alone would give most texts equal scores. A right prediction added below all others and
    a wrong one above keep the ends away from certainty.
    """
    raw = scores(logits, None, problem_type)
    order = np.argsort(raw, kind="stable")
    hits = correct(standard, predicted(logits, problem_type))[order].astype(np.float64)
    fitted = optimize.isotonic_regression(np.concatenate([[1.0], hits, [0.0]])).x[1:-1]
    levels, block, sizes = np.unique(fitted, return_inverse=True, return_counts=True)
    centres = np.bincount(block, weights=raw[order]) / sizes
    knots = np.unique(np.quantile(raw, np.linspace(0, 1, _STEPS)))
    shares = np.interp(knots, [*centres, 1.0], [*levels, 1.0])
    return Isotonic(confidences=knots.tolist(), right=shares.tolist())
