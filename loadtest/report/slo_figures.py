"""Three figures of the variant to deploy, beside what the SLO allows."""

import math
from dataclasses import dataclass, replace
from typing import Any

from loadtest.analysis.recommendation import SizedChoice

_SHARE = 0.99  # of the requests: the SLO is of the p99


@dataclass(frozen=True)
class SloFigure:
    """A figure beside its limit; `share` is how much of the limit it uses, None if unknown."""

    name: str
    value: str
    limit: str
    share: float | None
    holds: bool | None


def slo_figures(
    report: dict[str, Any], subject: dict[str, Any] | None, chosen: SizedChoice | None
) -> list[SloFigure]:
    """Return p99, share within the SLO and load of the variant; none without a variant."""
    if subject is None:
        return []
    rate_rps = chosen.rate_rps if chosen else None
    name, load = _load(subject, report["reference_load"], rate_rps)
    within = _within(name, load)
    capacity_rps = subject["within_slo"] and subject["within_slo"]["rate_rps"]
    if chosen and load and capacity_rps and load["offered_rps"]["value"] > capacity_rps:
        within = replace(within, limit=f"{within.limit}; a load beyond the capacity", holds=None)
    return [
        _p99(report["scenario"]["slo_p99_ms"], name, load, chosen),
        within,
        _utilisation(subject, rate_rps),
    ]


def _load(
    subject: dict[str, Any], reference: str | None, rate_rps: float | None
) -> tuple[str, dict[str, Any] | None]:
    """Return the measured open load that is next above a rate, or the reference load."""
    opened = {
        name: load
        for name, load in subject["loads"].items()
        if load["on_curve"] and load["offered_rps"]
    }
    if rate_rps is None:
        return reference or "", opened.get(reference or "")
    above = [name for name in opened if opened[name]["offered_rps"]["value"] >= rate_rps]
    name = min(above, key=lambda each: opened[each]["offered_rps"]["value"], default="")
    return name, opened.get(name)


def _p99(
    slo_ms: float, name: str, load: dict[str, Any] | None, chosen: SizedChoice | None
) -> SloFigure:
    limit = f"SLO: at most {slo_ms:g} ms"
    if chosen:
        known: float | None = chosen.p99_ms
        said = "p99, predicted"
    else:
        known = load["latency_ms"]["p99"]["value"] if load and load["latency_ms"] else None
        said = f"p99 under {name}"
    if known is None and load and load["latency_ms"]:
        return SloFigure(said, "unanswered", limit, None, holds=False)
    if known is None:
        return SloFigure(said, "unknown", limit, None, None)
    return SloFigure(said, f"{known:.1f} ms", limit, known / slo_ms, known <= slo_ms)


def _within(name: str, load: dict[str, Any] | None) -> SloFigure:
    limit = f"SLO: at least {_SHARE:.0%}"
    if load is None or load["within_slo"] is None:
        return SloFigure("answered within the SLO", "unknown", limit, None, None)
    share = load["within_slo"]
    said = f"answered within the SLO, measured under {name}"
    rounded_down = math.floor(share * 1e4 + 1e-6) / 1e2
    missed = (1.0 - share) / (1.0 - _SHARE)
    return SloFigure(said, f"{rounded_down:.2f}%", limit, missed, share >= _SHARE)


def _utilisation(subject: dict[str, Any], rate_rps: float | None) -> SloFigure:
    within = subject["within_slo"]
    capacity_rps = within["rate_rps"] if within else None
    if rate_rps is None:
        limit = "of one replica within the SLO"
        value = "unknown" if capacity_rps is None else f"{capacity_rps:.0f} requests/s"
        return SloFigure("capacity", value, limit, None, None)
    said, value = "load of each replica", f"{rate_rps:.0f} requests/s"
    if capacity_rps is None:
        return SloFigure(said, value, "capacity: unknown", None, None)
    more = "at least " if within["measured_out"] else ""
    limit = f"capacity: {more}{capacity_rps:.0f} requests/s"
    return SloFigure(said, value, limit, rate_rps / capacity_rps, rate_rps <= capacity_rps)
