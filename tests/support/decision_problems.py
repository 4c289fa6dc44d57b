"""Decision problems with known answers."""

import numpy as np

from serving.bundles.decisions import LabelTarget


def at_most(rate, label="bad"):
    return LabelTarget(label=label, max_false_positive_rate=rate)


def at_least(recall, label="bad"):
    return LabelTarget(label=label, min_recall=recall)


def normal_scores(generator, n, labels=1, prevalence=0.4, distance=2.0):
    """Scores and truth of n texts, (texts, labels): two overlapping normal distributions."""
    truth = generator.random((n, labels)) < prevalence
    scores = 1 / (1 + np.exp(-(generator.normal(size=(n, labels)) + distance * (truth - 0.5))))
    return scores, truth
