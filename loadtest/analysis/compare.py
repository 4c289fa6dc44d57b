"""Compare two reports: which figures changed beyond noise."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import stats

# Two runs on different days on one machine differ by up to this much.
SMALLEST_RATIO = 1.05
_CONFIDENCE = 0.95
_LOWER_IS_BETTER = {"p50, ms": True, "p99, ms": True, "achieved/s": False}
_FIELDS = {"p50, ms": "p50_ms", "p99, ms": "p99_ms", "achieved/s": "achieved_rps"}


@dataclass(frozen=True)
class Change:
    """One figure under one load: `ratio` is after / before, `p_value` is Holm-adjusted."""

    variant: str
    load: str
    figure: str
    before: float
    after: float
    ratio: float
    p_value: float
    verdict: str
    """better | worse | none"""


def compare(before: dict[str, Any], after: dict[str, Any]) -> list[Change]:
    """Return every figure that both reports have, with a verdict.

    The sample is the rounds: Welch's t-test on the logarithm of each round's figure, with Holm's
    correction over all figures (Holm 1979), so that testing many figures raises no false alarm. A
    change counts if it is significant at 5 % overall and at least 5 % in size. Closed loads are
    judged by throughput, open loads by latency.
    """
    found = list(_pairs(before, after))
    order = np.argsort([p_value for *_, p_value in found])
    adjusted = np.ones(len(found))
    running = 0.0
    for rank, index in enumerate(order):
        running = max(running, (len(found) - rank) * found[index][-1])
        adjusted[index] = min(1.0, running)
    return [
        Change(*names, *values, p_value, _verdict(names[2], values[2], p_value))
        for (names, values, _), p_value in zip(found, adjusted.tolist(), strict=True)
    ]


def _pairs(
    before: dict[str, Any], after: dict[str, Any]
) -> Iterator[tuple[tuple[str, str, str], tuple[float, float, float], float]]:
    old = {(v["model"], v["variant"]): v for v in before["variants"]}
    for variant in after["variants"]:
        same = old.get((variant["model"], variant["variant"]), {"loads": {}})
        for name, load in variant["loads"].items():
            if name not in same["loads"]:
                continue
            figures = ("achieved/s",) if load["kind"] == "closed" else ("p50, ms", "p99, ms")
            for figure in figures:
                a, b = (_rounds(each, figure) for each in (same["loads"][name], load))
                if min(a.size, b.size) < 2:
                    continue
                values = float(np.exp(a.mean())), float(np.exp(b.mean()))
                names = f"{variant['model']}/{variant['variant']}", name, figure
                yield names, (*values, values[1] / values[0]), _welch(a, b)


def _rounds(load: dict[str, Any], figure: str) -> np.ndarray:
    """Return the logarithm of a figure in every round that was not refused."""
    field = _FIELDS[figure]
    return np.log([each[field] for each in load["rounds"] if not each["refusals"] and each[field]])


def _welch(a: np.ndarray, b: np.ndarray) -> float:
    """Return the two-sided p-value of Welch's t-test; unlike scipy's, also for equal values."""
    own = np.array([a.var(ddof=1) / a.size, b.var(ddof=1) / b.size])
    if (total := own.sum()) < 1e-18:
        return float(np.isclose(a.mean(), b.mean()))
    freedom = total**2 / (own**2 / (np.array([a.size, b.size]) - 1)).sum()
    return float(2.0 * stats.t.sf(abs(a.mean() - b.mean()) / total**0.5, freedom))


def _verdict(figure: str, ratio: float, p_value: float) -> str:
    if p_value > 1.0 - _CONFIDENCE or 1 / SMALLEST_RATIO < ratio < SMALLEST_RATIO:
        return "none"
    return "worse" if (ratio > 1.0) == _LOWER_IS_BETTER[figure] else "better"
