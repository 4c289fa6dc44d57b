"""How the test went as feedback came in. Pure."""

from collections.abc import Collection

import numpy as np

from models.evaluation.sequential import differences
from models.retraining.record import Look
from models.retraining.verdict import Judgement
from serving.bundles.evaluation import Estimate

_MOST_LOOKS = 100


def course_of(judgements: Collection[Judgement], confidence: float) -> list[Look]:
    """Return the pooled test after every so many answers with feedback, and after all of them."""
    in_order = sorted(judgements, key=lambda each: each.time)
    if not in_order:
        return []
    by_canary = np.array([each.by_canary for each in in_order])
    right = np.array([each.is_right for each in in_order])
    count = len(in_order)
    at = np.unique(np.linspace(1, count, min(_MOST_LOOKS, count)).round().astype(int))
    canary, live = (
        np.stack([np.cumsum(arm & hit)[at - 1] for hit in (right, ~right)], axis=-1)
        for arm in (by_canary, ~by_canary)
    )
    low, high = differences(canary, live, confidence)
    values = _rates(canary) - _rates(live)
    return [
        Look(
            answers=int(n),
            difference=Estimate(value=value, low=min(one, value), high=max(other, value)),
        )
        for n, value, one, other in zip(
            at, values.tolist(), low.tolist(), high.tolist(), strict=True
        )
    ]


def _rates(counts: np.typing.NDArray[np.int64]) -> np.typing.NDArray[np.float64]:
    n = counts.sum(axis=-1)
    return np.asarray(np.where(n, counts[..., 0] / np.maximum(n, 1), 0.5))
