"""The Pareto frontier of candidates."""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Candidate:
    """One variant as a choice: more accuracy, less latency and fewer bytes are better."""

    name: str
    accuracy: float
    latency_ms: float
    bytes: int


def pareto(candidates: Sequence[Candidate]) -> list[Candidate]:
    """The candidates that no other dominates, in the order given.

    One dominates another when it is nowhere worse and somewhere better.
    """
    return [one for one in candidates if not any(_dominates(other, one) for other in candidates)]


def _dominates(one: Candidate, other: Candidate) -> bool:
    costs, others = ((-choice.accuracy, choice.latency_ms, choice.bytes) for choice in (one, other))
    return costs != others and all(a <= b for a, b in zip(costs, others, strict=True))
