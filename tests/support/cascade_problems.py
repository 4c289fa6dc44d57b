"""Cascade problems with known answers."""

import numpy as np

from models.cascade.candidates import Answers, Problem
from serving.bundles.cascade import Target

NOISE = (1.6, 0.8, 0.3)
BIG = 2
COSTS = np.array([1.0, 3.0, 9.0])


def answers(n, seed, noise=NOISE):
    """Three variants that see the same signal, the cheaper the worse."""
    generator = np.random.default_rng(seed)
    signal = 3 * generator.normal(size=n)
    truth = np.eye(2, dtype=bool)[(signal + 0.3 * generator.normal(size=n) > 0).astype(int)]
    margins = [signal + sigma * generator.normal(size=n) for sigma in noise]
    return Answers(truth, np.stack([np.stack([-m, m], axis=1) for m in margins]))


def problem(loss="agreement", max_loss=0.03, *, each_label=False):
    target = Target(loss=loss, max_loss=max_loss, confidence=0.95, each_label=each_label)
    return Problem(target, "single_label", BIG, COSTS, (0, 1, 2))
