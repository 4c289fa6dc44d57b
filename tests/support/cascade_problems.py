"""Cascade problems with known answers."""

import numpy as np

from models.cascade.build import choose_cascade
from models.cascade.scored_texts import LabelledLogits, Problem
from models.cascade.selection import propose
from serving.bundles.cascade import Target

NOISE = (1.6, 0.8, 0.3)
BIG = 2
COSTS = np.array([1.0, 3.0, 9.0])


def answers(n, seed, noise=NOISE):
    """Texts and the logits of three variants: the cheaper the noisier."""
    generator = np.random.default_rng(seed)
    signal = 3 * generator.normal(size=n)
    truth = np.eye(2, dtype=bool)[(signal + 0.3 * generator.normal(size=n) > 0).astype(int)]
    margins = [signal + sigma * generator.normal(size=n) for sigma in noise]
    return LabelledLogits(truth, np.stack([np.stack([-m, m], axis=1) for m in margins]))


def problem(loss="agreement", max_loss=0.03, *, each_label=False):
    target = Target(loss=loss, max_loss=max_loss, confidence=0.95, each_label=each_label)
    return Problem(target, "single_label", BIG, COSTS, (0, 1, 2))


def chosen(found, target):
    """The selection and the cascade that observations give."""
    return choose_cascade(found, target, propose(found.logits[0], found.problem(target)))
