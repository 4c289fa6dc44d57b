"""Convert the logits of one text to scores, and scores to predicted labels. Pure."""

import math
from collections.abc import Callable, Sequence

from serving.bundles.bundle import Manifest

_LIKELY = 0.5


def softmax(logits: Sequence[float], temperature: float = 1.0) -> list[float]:
    """Return probabilities that sum to 1, from finite logits (temperature: Guo et al. 2017)."""
    largest = max(logits)
    exponentials = []
    for logit in logits:
        exponentials.append(math.exp((logit - largest) / temperature))  # noqa: PERF401  no frame
    total = sum(exponentials)
    for index, exponential in enumerate(exponentials):
        exponentials[index] = exponential / total
    return exponentials


def sigmoid(logits: Sequence[float], temperature: float = 1.0) -> list[float]:
    """Return independent probabilities, from finite logits."""
    return [0.5 * (1.0 + math.tanh(0.5 * logit / temperature)) for logit in logits]


def own_values(logits: Sequence[float], _temperature: float = 1.0) -> list[float]:
    """Return the values themselves, which are a regression's answer."""
    return list(logits)


def activation(manifest: Manifest) -> Callable[[Sequence[float], float], list[float]]:
    """Select the function from logits and temperature to scores, as transformers' pipeline does."""
    if manifest.problem_type == "regression":
        return own_values
    return sigmoid if manifest.multi_label else softmax


def least_score(manifest: Manifest) -> float | None:
    """Return the score from which a label is predicted; None predicts the likeliest only.

    Every label of a regression is predicted: it names a value.
    """
    if manifest.problem_type == "regression":
        return -math.inf
    return _LIKELY if manifest.multi_label else None


def predicted_labels(
    labels: Sequence[str], scores: Sequence[float], least: float | None
) -> list[str]:
    """Return the labels whose score is at least `least`; with None only the likeliest."""
    if least is None:
        return [labels[scores.index(max(scores))]]
    return [label for label, score in zip(labels, scores, strict=True) if score >= least]
