"""Which variant to deploy on how many replicas, from a report's curves. Pure but for one file.

It does not know how the curves were measured. The model of capacity: a balancer that picks
replicas at random gives each a Poisson share of Poisson arrivals, so N replicas at rate R behave
each as one does at R / N (Kingman, Poisson Processes, 1993, colouring theorem).
"""

import json
import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from loadtest.analysis.capacity import LoadPoint, capacity, predicted_p99_ms
from loadtest.analysis.cascade_choices import cascade_description, request_fields
from loadtest.analysis.replica_curve import ScalingTargets, targets

_MIB = 1 << 20
_MEMORY_HEADROOM = 1.25
_FEWEST = 2  # one may fail; but never more than the wish needs
_FLASH_CROWD = 3  # times the traffic that was asked for: the bound of what autoscaling may cost


@dataclass(frozen=True)
class Requirements:
    """What is asked for; `headroom` is the share of a replica's capacity that is left free."""

    slo_p99_ms: float
    min_accuracy: float
    rps: float
    headroom: float = 0.2
    cost_per_hour: float | None = None


@dataclass(frozen=True)
class Deployment:
    """One variant, or a cascade, that meets a wish, with what it takes."""

    model: str
    variant: str
    stages: list[str]
    """The variants to serve: itself alone, or those of a cascade."""
    brownout_ms: int | None
    accuracy: float
    accuracy_low: float | None
    replicas: int
    replicas_if_slow: int | None
    """By the upper ends of the p99s' intervals; None when even then nothing holds."""
    rate_rps: float
    p99_ms: float
    peak_bytes: int | None
    cost_per_hour: float | None
    cost_per_million: float | None
    targets: ScalingTargets | None
    """What autoscaling keeps a replica at; None where the server told no queue times."""


@dataclass(frozen=True)
class Recommendation:
    """The cheapest choice and its neighbours; `choice` is None when nothing meets the wish."""

    wish: Requirements
    choice: Deployment | None
    cheaper: Deployment | None
    better: Deployment | None
    binds: list[str]
    otherwise: list[str]
    """What would meet the wish, when nothing does."""


def recommend(report: dict[str, Any], wish: Requirements) -> Recommendation:
    """The choice with the fewest replicas; of equals the most accurate, then the smallest."""
    everyone = [
        choice
        for variant in report["variants"]
        if variant["accuracy"] and (choice := _choice(variant, wish))
    ]
    everyone.sort(key=lambda choice: (choice.replicas, -choice.accuracy, choice.peak_bytes or 0))
    fitting = [choice for choice in everyone if choice.accuracy >= wish.min_accuracy]
    if not fitting:
        return Recommendation(wish, None, None, None, [], _otherwise(report, wish, everyone))
    chosen = fitting[0]
    cheaper = [choice for choice in everyone if choice.replicas < chosen.replicas]
    better = [choice for choice in everyone if choice.accuracy > chosen.accuracy]
    return Recommendation(
        wish=wish,
        choice=chosen,
        cheaper=max(cheaper, key=lambda choice: choice.accuracy, default=None),
        better=better[0] if better else None,
        binds=_binds(report, wish, chosen, cheaper),
        otherwise=[],
    )


def _points(variant: dict[str, Any], p99_of: Callable[[dict[str, Any]], float]) -> list[LoadPoint]:
    rates = {point["rate_rps"] for point in variant["curve"]}
    return [
        LoadPoint(load["offered_rps"]["value"], p99_of(load["latency_ms"]["p99"]))
        for load in variant["loads"].values()
        if load["offered_rps"] and load["offered_rps"]["value"] in rates
    ]


def _replicas(points: list[LoadPoint], wish: Requirements) -> int | None:
    found = capacity(points, wish.slo_p99_ms)
    if found is None:
        return None
    return max(1, math.ceil(wish.rps / (found.rate_rps * (1.0 - wish.headroom)) - 1e-9))


def _choice(variant: dict[str, Any], wish: Requirements) -> Deployment | None:
    points = _points(variant, lambda p99: p99["value"])
    replicas = _replicas(points, wish)
    if replicas is None:
        return None
    slow = _points(variant, lambda p99: p99["value"] if p99["high"] is None else p99["high"])
    rate_rps = wish.rps / replicas
    cost = None if wish.cost_per_hour is None else replicas * wish.cost_per_hour
    return Deployment(
        model=variant["model"],
        variant=variant["variant"],
        stages=variant["stages"],
        brownout_ms=variant["brownout_ms"],
        accuracy=variant["accuracy"]["value"],
        accuracy_low=variant["accuracy"]["low"],
        replicas=replicas,
        replicas_if_slow=_replicas(slow, wish),
        rate_rps=rate_rps,
        p99_ms=predicted_p99_ms(points, rate_rps),
        peak_bytes=variant["peak_bytes"],
        cost_per_hour=cost,
        cost_per_million=None if cost is None else cost / (wish.rps * 3600) * 1e6,
        targets=targets(variant, wish.slo_p99_ms, wish.headroom),
    )


def _binds(
    report: dict[str, Any], wish: Requirements, chosen: Deployment, cheaper: list[Deployment]
) -> list[str]:
    binds = []
    if cheaper:
        binds.append("accuracy: a less accurate variant needs fewer replicas")
    relaxed = Requirements(2 * wish.slo_p99_ms, wish.min_accuracy, wish.rps, wish.headroom)
    own = next(
        v
        for v in report["variants"]
        if (v["model"], v["variant"]) == (chosen.model, chosen.variant)
    )
    looser = _choice(own, relaxed)
    if looser and looser.replicas < chosen.replicas:
        binds.append(f"latency: at twice the p99 {looser.replicas} replicas do")
    if chosen.replicas > 1:
        binds.append(f"throughput: one replica takes {chosen.rate_rps:.0f} requests/s of it")
    return binds or ["nothing: one replica has room to spare"]


def _otherwise(report: dict[str, Any], wish: Requirements, everyone: list[Deployment]) -> list[str]:
    """What the wish would have to be."""
    ways = []
    if everyone:
        best = max(everyone, key=lambda choice: choice.accuracy)
        ways.append(
            f"an accuracy of {best.accuracy:.3f} instead of {wish.min_accuracy:g}: {best.variant} "
            f"on {best.replicas} replicas"
        )
    accurate = [
        (min(point["p99_ms"] for point in variant["curve"]), variant["variant"])
        for variant in report["variants"]
        if variant["curve"]
        and variant["accuracy"]
        and variant["accuracy"]["value"] >= wish.min_accuracy
    ]
    if accurate:
        p99_ms, name = min(accurate)
        ways.append(f"a p99 of {p99_ms:.1f} ms instead of {wish.slo_p99_ms:g}: {name} at low load")
    return ways or ["a more accurate family: no variant has that accuracy"]


def recommendation_text(found: Recommendation) -> str:
    """The recommendation for a person, a few lines."""
    wish, chosen = found.wish, found.choice
    request_fields = (
        f"{wish.rps:g} requests/s, p99 within {wish.slo_p99_ms:g} ms, accuracy at least "
        f"{wish.min_accuracy:g}"
    )
    if chosen is None:
        ways = "\n".join(f"  - {way}" for way in found.otherwise)
        return f"Nothing measured meets {asked}. What would:\n{ways}"
    lines = [
        f"{asked}:",
        f"  deploy {_said(chosen)}",
        f"  predicted p99 {chosen.p99_ms:.1f} ms at {chosen.rate_rps:.0f} requests/s a replica",
        f"  how sure: {_how_sure(found)}",
        *(f"  binds: {bind}" for bind in found.binds),
    ]
    if found.cheaper:
        lines.append(f"  cheaper: {_said(found.cheaper)}")
    if found.better:
        lines.append(f"  more accurate: {_said(found.better)}")
    return "\n".join(lines)


def _said(choice: Deployment) -> str:
    cost = (
        ""
        if choice.cost_per_hour is None
        else f", {choice.cost_per_hour:g} an hour, {choice.cost_per_million:.3g} a million requests"
    )
    made = cascade_description(choice.stages, choice.brownout_ms)
    return (
        f"{choice.model}/{choice.variant}{made and f' ({made})'} on {choice.replicas} replicas, "
        f"accuracy {choice.accuracy:.3f}{cost}"
    )


def _how_sure(found: Recommendation) -> str:
    chosen = found.choice
    assert chosen is not None, "nothing was chosen"
    low = chosen.accuracy_low
    accuracy = (
        f"its accuracy's interval reaches down to {low:.3f}"
        if low is not None and low < found.wish.min_accuracy
        else "its accuracy's whole interval is enough"
    )
    if chosen.replicas_if_slow == chosen.replicas:
        return f"the upper ends of the p99s' intervals give as many replicas; {accuracy}"
    if chosen.replicas_if_slow is None:
        return f"by the upper ends of the p99s' intervals the p99 would not hold; {accuracy}"
    return (
        f"the upper ends of the p99s' intervals ask for {chosen.replicas_if_slow} replicas; "
        f"{accuracy}"
    )


def write_values(found: Recommendation, cores: int, command: str, path: Path) -> None:
    """The Helm values of the choice, as YAML. Raises ValueError when nothing was chosen."""
    chosen = found.choice
    if chosen is None:
        raise ValueError("nothing meets the wish, so there are no values to write")
    memory = math.ceil((chosen.peak_bytes or 0) * _MEMORY_HEADROOM / _MIB)
    limit = f'\n  limits: {{memory: "{memory}Mi"}}' if memory else ""
    request = f', memory: "{memory}Mi"' if memory else ""
    path.write_text(
        f"""# {command}
# {chosen.model}/{chosen.variant}
# Predicted: p99 {chosen.p99_ms:.1f} ms at {chosen.rate_rps:.1f} requests/s a replica.
replicaCount: {chosen.replicas}
{_variant_lines(chosen)}
resources:
  requests: {{cpu: "{cores}"{request}}}{limit}
autoscaling:
  minReplicas: {min(_FEWEST, chosen.replicas)}
  maxReplicas: {_FLASH_CROWD * chosen.replicas}
{_target_lines(chosen.targets)}"""
    )


def _variant_lines(chosen: Deployment) -> str:
    served = f"variants: [{', '.join(chosen.stages)}]"
    if len(chosen.stages) == 1:
        return served
    callers = json.dumps(request_fields(chosen.variant))
    served = f"# For the cascade.json in the family's folder. Callers ask: {callers}\n{served}"
    if chosen.brownout_ms is None:
        return served
    return f"{served}\nsettings: {{brownout_ms: {chosen.brownout_ms}}}"


def _target_lines(found: ScalingTargets | None) -> str:
    if found is None:
        return "  # No targets: they need a closed load, an open one and the server's queue times\n"
    return f"""  # Queue time at a replica's capacity, requests in flight at {found.rate_rps:.1f}/s
  targetQueueSeconds: {found.queue_s:.3f}
  targetRequestsInFlight: {max(found.in_flight, 0.01):.2f}
"""
