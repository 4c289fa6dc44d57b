"""Recommend which variant to deploy on how many replicas, from a report's curves.

The capacity model: a balancer that picks replicas at random gives each a Poisson share of Poisson
arrivals, so each of N replicas at rate R behaves like one replica at R / N (Kingman, Poisson
Processes, 1993, colouring theorem).
"""

import math
from dataclasses import asdict, dataclass
from typing import Any

from loadtest.analysis.capacity import (
    LoadPoint,
    capacity,
    lacks_its_lowest_rates,
    load_points,
    predicted_p99_ms,
    texts_per_request,
)
from loadtest.analysis.cascade_choices import name_of
from loadtest.analysis.replica_curve import ScalingTargets, scaling_targets

_JSON_NAMES = {
    "requirements": "wish", "chosen": "choice", "constraints": "binds", "alternatives": "otherwise",
}  # fmt: skip
MAX_FACTOR = 2.0
"""A choice whose interval spans this factor in replicas is not recommended."""
_SLOWER_LOAD = (
    "a slower open load: no variant here answered one completely, so no rate is known at which one "
    "keeps a p99; add one with a smaller `share` to the scenario"
)


@dataclass(frozen=True)
class SizingRequirements:
    """What a choice must meet; `headroom` is the share of a replica's capacity left free."""

    slo_p99_ms: float
    min_accuracy: float
    rps: float
    headroom: float = 0.2
    cost_per_hour: float | None = None


@dataclass(frozen=True)
class SizedChoice:
    """A variant or a cascade on enough replicas to meet the latency and the rate required."""

    model: str
    variant: str
    stages: list[str]
    """The variants to serve: the variant itself, or the stages of the cascade."""
    brownout_ms: int | None
    accuracy: float | None
    """None if no variant of the report was evaluated."""
    accuracy_low: float | None
    replicas: int
    """Those if slow where they are certain, otherwise those if exact."""
    replicas_if_exact: int
    """Replicas at the p99s themselves."""
    replicas_if_slow: int | None
    """Replicas at the upper bounds of the p99s' intervals; None if no number is enough."""
    is_certain: bool
    """Whether the two differ by less than MAX_FACTOR, before rounding."""
    rate_rps: float
    p99_ms: float
    peak_bytes: int | None
    cost_per_hour: float | None
    cost_per_million: float | None
    targets: ScalingTargets | None
    """What autoscaling holds each replica at; None if the server reported no queue times."""


@dataclass(frozen=True)
class Recommendation:
    """The cheapest choice and its neighbours; `chosen` is None if none meets requirements."""

    requirements: SizingRequirements
    texts_per_request: int
    """Texts in each of the requests that rates count."""
    chosen: SizedChoice | None
    cheaper: SizedChoice | None
    """Less accurate than required, on fewer replicas."""
    better: SizedChoice | None
    uncertain: SizedChoice | None
    """Accurate enough and perhaps on fewer replicas, but by p99s that are too uncertain."""
    constraints: list[str]
    """Which requirements the number of replicas comes from."""
    alternatives: list[str]
    """Which requirements could be met, if these cannot."""
    unscored: list[str]
    """The variants without a measured accuracy."""
    unmeasured: list[str]
    """Accurate enough, but without a valid round at the rates that might be enough."""
    checks_accuracy: bool
    """False if no variant has a measured accuracy, so that none can be required."""
    lacks_accuracy: bool
    """Whether every measured accuracy is too low."""

    @property
    def requests(self) -> str:
        """The rate required, in words."""
        return f"{self.requirements.rps:g} {requests_of(self.texts_per_request)}"

    @property
    def is_certain(self) -> bool:
        """Whether there is a choice, and its interval is narrow enough to deploy by."""
        return self.chosen is not None and self.chosen.is_certain

    @property
    def is_impossible(self) -> bool:
        """Whether it is known that no variant meets the requirements."""
        return self.chosen is None and not self.unmeasured

    def as_json(self) -> dict[str, Any]:
        """Return the contents of recommendation.json."""
        return {_JSON_NAMES.get(name, name): value for name, value in asdict(self).items()}


def recommend(report: dict[str, Any], requirements: SizingRequirements) -> Recommendation:
    """Choose the fewest replicas; among equals the most accurate, then the smallest.

    A choice is accurate by the lower end of its accuracy's interval, as the server routes, and
    has the replicas that the upper bounds of its p99s need. One whose p99s are too uncertain for
    that is chosen only if no other is accurate, and not to deploy.
    Variants without a measured accuracy are left out, unless no variant has one: then the accuracy
    required is not checked.
    """
    unscored = [name_of(variant) for variant in report["variants"] if not variant["accuracy"]]
    checks_accuracy = len(unscored) < len(report["variants"])
    unmeasured = [
        name_of(variant)
        for variant in _considered(report)
        if _has_accuracy(variant, requirements)
        and _sized(variant, requirements) is None
        and lacks_its_lowest_rates(variant["loads"].values())
    ]
    sized = [choice for variant in _considered(report) if (choice := _sized(variant, requirements))]
    sized.sort(key=lambda each: (each.replicas, -(each.accuracy or 0.0), each.peak_bytes or 0))
    accurate = [each for each in sized if _is_accurate(each.accuracy_low, requirements)]
    size = texts_per_request(report["variants"])
    if not accurate:
        lacking = not any(_has_accuracy(each, requirements) for each in _considered(report))
        helps = _alternatives(report, requirements, sized)
        return Recommendation(
            requirements, size, None, None, None, None, [], helps, unscored, unmeasured,
            checks_accuracy, lacking,
        )  # fmt: skip
    chosen = min(accurate, key=lambda each: not each.is_certain)
    certain = [each for each in sized if each.is_certain]
    fewer = [each for each in sized if each.replicas < chosen.replicas]
    cheaper = [each for each in fewer if each.is_certain]
    better = [each for each in certain if (each.accuracy or 0.0) > (chosen.accuracy or 0.0)]
    uncertain = [each for each in fewer if each in accurate and not each.is_certain]
    return Recommendation(
        requirements=requirements,
        texts_per_request=size,
        chosen=chosen,
        cheaper=max(cheaper, key=lambda each: each.accuracy or 0.0, default=None),
        better=better[0] if better else None,
        uncertain=uncertain[0] if uncertain else None,
        constraints=_constraints(report, requirements, chosen, cheaper),
        alternatives=[],
        unscored=unscored,
        unmeasured=unmeasured,
        checks_accuracy=checks_accuracy,
        lacks_accuracy=False,
    )


def _considered(report: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the variants with a measured accuracy; all of them if none has one."""
    variants: list[dict[str, Any]] = report["variants"]
    return [variant for variant in variants if variant["accuracy"]] or variants


def _is_accurate(accuracy_low: float | None, requirements: SizingRequirements) -> bool:
    return accuracy_low is None or accuracy_low >= requirements.min_accuracy


def _has_accuracy(variant: dict[str, Any], requirements: SizingRequirements) -> bool:
    return _is_accurate(variant["accuracy"] and variant["accuracy"]["low"], requirements)


def _needed(points: list[LoadPoint], requirements: SizingRequirements) -> float | None:
    """Return the replicas needed, not rounded and at least one; None if no number is enough."""
    found = capacity(points, requirements.slo_p99_ms)
    if found is None:
        return None
    return max(1.0, requirements.rps / (found.rate_rps * (1.0 - requirements.headroom)))


def _rounded(needed: float) -> int:
    return math.ceil(needed - 1e-9)


def _sized(variant: dict[str, Any], requirements: SizingRequirements) -> SizedChoice | None:
    points = load_points(variant["loads"].values())
    needed = _needed(points, requirements)
    if needed is None:
        return None
    if_slow = _needed(load_points(variant["loads"].values(), "high"), requirements)
    is_certain = if_slow is not None and if_slow < MAX_FACTOR * needed
    replicas = _rounded(if_slow if if_slow is not None and is_certain else needed)
    rate_rps = requirements.rps / replicas
    hourly = requirements.cost_per_hour
    cost = None if hourly is None else replicas * hourly
    return SizedChoice(
        model=variant["model"],
        variant=variant["variant"],
        stages=variant["stages"],
        brownout_ms=variant["brownout_ms"],
        accuracy=variant["accuracy"] and variant["accuracy"]["value"],
        accuracy_low=variant["accuracy"] and variant["accuracy"]["low"],
        replicas=replicas,
        replicas_if_exact=_rounded(needed),
        replicas_if_slow=None if if_slow is None else _rounded(if_slow),
        is_certain=is_certain,
        rate_rps=rate_rps,
        p99_ms=predicted_p99_ms(points, rate_rps),
        peak_bytes=variant["peak_bytes"],
        cost_per_hour=cost,
        cost_per_million=None if cost is None else cost / (requirements.rps * 3600) * 1e6,
        targets=scaling_targets(variant, requirements.slo_p99_ms, requirements.headroom),
    )


def _constraints(
    report: dict[str, Any],
    requirements: SizingRequirements,
    chosen: SizedChoice,
    cheaper: list[SizedChoice],
) -> list[str]:
    constraints = []
    if cheaper:
        constraints.append("accuracy: a less accurate variant would need fewer replicas")
    relaxed = SizingRequirements(
        2 * requirements.slo_p99_ms,
        requirements.min_accuracy,
        requirements.rps,
        requirements.headroom,
    )
    variant = next(
        each
        for each in report["variants"]
        if (each["model"], each["variant"]) == (chosen.model, chosen.variant)
    )
    slower = _sized(variant, relaxed)
    if slower and slower.replicas < chosen.replicas:
        constraints.append(f"latency: twice the p99 would need {replica_count(slower.replicas)}")
    if chosen.replicas > 1:
        constraints.append(
            f"throughput: with its headroom one replica handles fewer than {requirements.rps:g} "
            "requests/s"
        )
    return constraints or ["nothing: one replica has capacity to spare"]


def _alternatives(
    report: dict[str, Any], requirements: SizingRequirements, sized: list[SizedChoice]
) -> list[str]:
    alternatives = []
    if sized:
        best = max(sized, key=lambda each: each.accuracy_low or 0.0)
        alternatives.append(
            f"an accuracy of {best.accuracy_low:.3f} instead of {requirements.min_accuracy:g}: "
            f"{best.variant} on {replica_count(best.replicas)}"
        )
    accurate = [
        (p99_ms, variant["variant"])
        for variant in _considered(report)
        if math.isfinite(p99_ms := _lowest_p99_ms(variant)) and _has_accuracy(variant, requirements)
    ]
    if accurate:
        p99_ms, name = min(accurate)
        alternatives.append(
            f"a p99 of {p99_ms:.1f} ms instead of {requirements.slo_p99_ms:g} ms: {name} at low "
            "load"
        )
    if not any(math.isfinite(_lowest_p99_ms(variant)) for variant in _considered(report)):
        alternatives = [_SLOWER_LOAD]
    return alternatives or ["a more accurate family: no variant here reaches that accuracy"]


def _lowest_p99_ms(variant: dict[str, Any]) -> float:
    points = load_points(variant["loads"].values())
    return min((point.p99_ms for point in points), default=math.inf)


def requests_of(texts: int) -> str:
    """Name the unit of a rate of requests that each have so many texts."""
    return f"requests/s of {'one text' if texts == 1 else f'{texts} texts'}"


def replica_count(replicas: int) -> str:
    """Return the number with its noun."""
    return f"{replicas} replica{'s' if replicas > 1 else ''}"
