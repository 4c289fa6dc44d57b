"""What the page's charts draw, as one JSON object."""

from typing import Any

from loadtest.analysis.capacity import machine_ms
from loadtest.analysis.cascade_choices import name_of
from loadtest.analysis.deployment import price_per_replica_hour

_MS_PER_HOUR = 3.6e6


def chart_data(report: dict[str, Any], subject: dict[str, Any] | None) -> dict[str, Any]:
    """Collect the figures of the charts; `subject` is the variant that is shown first."""
    load = report["reference_load"]
    shown = {name_of(variant): variant["loads"] for variant in report["variants"]}
    shown["no inference"] = report["floor"]
    loads = {
        name: {load_name: _load(each) for load_name, each in own.items()}
        for name, own in shown.items()
        if own
    }
    costs = [
        {"name": name_of(variant), "accuracy": variant["accuracy"], "costs": found}
        for variant in report["variants"]
        if variant["accuracy"] and (found := _costs(report, variant))
    ]
    names = dict.fromkeys(name for each in costs for name in each["costs"])
    return {
        "slo_ms": report["scenario"]["slo_p99_ms"],
        "start": {"variant": name_of(subject or report["variants"][0]), "load": load},
        "curves": [
            {"name": name_of(variant), "points": points}
            for variant in report["variants"]
            if (points := _curve(variant))
        ],
        "costs": costs,
        "cost_names": list(names),
        "loads": loads,
    }


def _load(load: dict[str, Any]) -> dict[str, Any]:
    """Return what is drawn and said of one load; a quantile is None where it was unanswered."""
    return {
        "histogram": load["histogram"],
        "timeline": load["timeline"],
        "within_slo": load["within_slo"],
        **{f"{q}_ms": load["latency_ms"].get(q, {}).get("value") for q in ("p50", "p99")},
    }


def _curve(variant: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the points of a variant's curve that were answered, with their intervals."""
    answered = {each["rate_rps"] for each in variant["curve"] if each["p99_ms"] is not None}
    points = [
        {
            "x": load["offered_rps"]["value"],
            "y": load["latency_ms"]["p99"]["value"],
            "low": load["latency_ms"]["p99"]["low"],
            "high": load["latency_ms"]["p99"]["high"],
            "load": name,
        }
        for name, load in variant["loads"].items()
        if load["on_curve"]
        and load["latency_ms"]
        and load["offered_rps"]["value"] in answered
        and load["latency_ms"]["p99"]["value"] is not None
    ]
    return sorted(points, key=lambda point: float(point["x"]))


def _costs(report: dict[str, Any], variant: dict[str, Any]) -> dict[str, float]:
    """Return what a variant costs, by name with the unit."""
    latency = variant["loads"].get(report["reference_load"], {}).get("latency_ms")
    text_ms = machine_ms(variant)
    hourly = price_per_replica_hour(report)
    known = {
        "price of a million texts, saturated": (
            hourly / _MS_PER_HOUR * text_ms * 1e6 if hourly and text_ms else None
        ),
        "ms of the machine a text, saturated": text_ms,
        f"p99 under {report['reference_load']}, ms": latency and latency["p99"]["value"],
        "MB": variant["bytes"] / 1e6,
    }
    return {name: value for name, value in known.items() if value}
