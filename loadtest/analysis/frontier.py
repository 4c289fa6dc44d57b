"""The Pareto frontier of accuracy, latency and size."""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class ParetoPoint:
    """One variant: more accuracy, less latency and fewer bytes are better."""

    name: str
    accuracy: float
    latency_ms: float
    bytes: int


def pareto(points: Sequence[ParetoPoint]) -> list[ParetoPoint]:
    """Return the points that no other point dominates, in the order given.

    One point dominates another if it is nowhere worse and somewhere better.
    """
    return [one for one in points if not any(_dominates(other, one) for other in points)]


def _dominates(one: ParetoPoint, other: ParetoPoint) -> bool:
    costs, others = ((-point.accuracy, point.latency_ms, point.bytes) for point in (one, other))
    return costs != others and all(a <= b for a, b in zip(costs, others, strict=True))
