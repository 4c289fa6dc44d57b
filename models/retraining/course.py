"""How the test went as feedback came in. Pure."""

from collections.abc import Sequence

import numpy as np

from models.evaluation.sequential import differences
from models.monitoring.log import Row, was_right
from models.retraining.record import Look
from models.retraining.verdict import Canaries, compared_rows
from serving.bundles.evaluation import Estimate

_MOST_LOOKS = 100


def course_of(feedback: Sequence[Row], canaries: Canaries, confidence: float) -> list[Look]:
    """Return the pooled test after every so many answers with feedback, and after all of them."""
    in_order = sorted(feedback, key=lambda row: row["time"])
    rows = list(compared_rows(in_order, canaries, canaries.versions))
    if not rows:
        return []
    arms = np.array([arm for _, arm in rows])
    right = np.array([was_right(row) for row, _ in rows])
    at = np.unique(np.linspace(1, len(rows), min(_MOST_LOOKS, len(rows))).round().astype(int))
    canary, live = (
        np.stack([np.cumsum((arms == arm) & hit)[at - 1] for hit in (right, ~right)], axis=-1)
        for arm in (0, 1)
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
