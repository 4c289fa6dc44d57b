"""Capacity: the highest rate that one replica serves within a latency objective."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any, Literal

import numpy as np


@dataclass(frozen=True)
class LoadPoint:
    """One measured open load: its offered rate and its p99, infinite if it exceeds any limit."""

    rate_rps: float
    p99_ms: float


@dataclass(frozen=True)
class Capacity:
    """The highest rate that keeps the p99; `measured_out` if every measured load kept it."""

    rate_rps: float
    measured_out: bool


def load_points(
    loads: Iterable[dict[str, Any]], bound: Literal["value", "high"] = "value"
) -> list[LoadPoint]:
    """Return the points of the latency-throughput curve: the loads that a report marks for it.

    The p99 is infinite where more than a hundredth of the requests were refused, failed or got no
    answer, and where the server did not keep up: there it grows with the time measured. Where an
    upper bound is unknown, that of the next higher rate holds, as more load is never faster;
    without one it is infinite.
    """
    curve = [load for load in _on_the_curve(loads) if load["latency_ms"]]
    curve.sort(key=lambda load: float(load["offered_rps"]["value"]))
    points: list[LoadPoint] = []
    next_ms = math.inf
    for load in reversed(curve):
        p99_ms = _p99_ms(load)
        if bound == "high":
            known = load["latency_ms"]["p99"]["high"]
            p99_ms = next_ms = max(p99_ms, next_ms if known is None else float(known))
        points.append(LoadPoint(load["offered_rps"]["value"], p99_ms))
    return points[::-1]


def texts_per_request(variants: Iterable[dict[str, Any]]) -> int:
    """Return how many texts each request on the variants' curves has; 1 without a curve."""
    loads = chain.from_iterable(variant["loads"].values() for variant in variants)
    return next((int(load["texts_per_request"]) for load in _on_the_curve(loads)), 1)


def lacks_its_lowest_rates(loads: Iterable[dict[str, Any]]) -> bool:
    """Tell whether a load without a valid round is below all loads with one.

    Then a curve that never keeps a p99 does not show that no rate would.
    """
    curve = list(_on_the_curve(loads))
    lowest_rps = min((load["rate_rps"] for load in curve if load["latency_ms"]), default=math.inf)
    return any(not load["latency_ms"] and load["rate_rps"] < lowest_rps for load in curve)


def _on_the_curve(loads: Iterable[dict[str, Any]]) -> Iterable[dict[str, Any]]:
    return (load for load in loads if load["on_curve"])


def _p99_ms(load: dict[str, Any]) -> float:
    found = load["latency_ms"]["p99"]["value"]
    return math.inf if found is None or not load["sustained"] else float(found)


def capacity(points: Sequence[LoadPoint], slo_ms: float) -> Capacity | None:
    """Return the highest rate at which the p99 stays within `slo_ms`; None if no point does.

    More load is never faster, so a dip is noise: take the running maximum of the p99 over the
    rate, then interpolate its logarithm linearly. Never extrapolate beyond the highest rate, nor
    towards an infinite p99.
    """
    ordered = sorted(points, key=lambda point: point.rate_rps)
    if not ordered:
        return None
    rates = np.array([point.rate_rps for point in ordered])
    logs = np.maximum.accumulate(np.log([point.p99_ms for point in ordered]))
    limit = float(np.log(slo_ms))
    if logs[0] > limit:
        return None
    if logs[-1] <= limit:
        return Capacity(float(rates[-1]), measured_out=True)
    above = int(np.argmax(logs > limit))
    share = (limit - logs[above - 1]) / (logs[above] - logs[above - 1])
    rate_rps = rates[above - 1] + share * (rates[above] - rates[above - 1])
    return Capacity(float(rate_rps), measured_out=False)


def predicted_p99_ms(points: Sequence[LoadPoint], rate_rps: float) -> float:
    """Return the p99 at a rate on the curve that `capacity` uses; constant below the lowest point.

    It is infinite between a point and one whose p99 is infinite.
    Raise ValueError beyond the highest measured rate or without a point.
    """
    ordered = sorted(points, key=lambda point: point.rate_rps)
    if not ordered or rate_rps > ordered[-1].rate_rps * (1.0 + 1e-9):
        highest_rps = ordered[-1].rate_rps if ordered else 0.0
        raise ValueError(
            f"no p99 is known at {rate_rps:.1f} requests/s: loads were measured up to "
            f"{highest_rps:.1f}"
        )
    logs = np.maximum.accumulate(np.log([point.p99_ms for point in ordered]))
    rate_rps *= 1.0 - 1e-9  # a capacity is a point's own rate where the next p99 is infinite
    return float(np.exp(np.interp(rate_rps, [point.rate_rps for point in ordered], logs)))


def machine_ms(variant: dict[str, Any]) -> float | None:
    """Return the whole machine's milliseconds per text, by the first closed load's throughput.

    None if that is unknown, or nothing was answered.
    """
    closed = (load for load in variant["loads"].values() if load["kind"] == "closed")
    first = next(closed, None)
    if not first or not first["achieved_rps"]:
        return None
    texts_per_s: float = first["achieved_rps"]["value"] * first["texts_per_request"]
    return 1e3 / texts_per_s if texts_per_s else None
