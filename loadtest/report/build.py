"""The report: raw times and run.json to report.json, report.md, report.html and its pictures.

It does not know how the times were measured.
"""

import json
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from loadtest.analysis.capacity import LoadPoint, capacity
from loadtest.analysis.cascade_choices import SPLIT, choices, degraded_accuracy
from loadtest.analysis.frontier import ParetoPoint, pareto
from loadtest.analysis.power_law import fit_power_law
from loadtest.analysis.statistics import mean_of_rates
from loadtest.analysis.summary import LoadSummary, combine
from loadtest.measure.null_model import NULL_MODEL
from loadtest.measure.run import SCHEMA_VERSION, sample_files
from loadtest.measure.server import LoadTestError
from loadtest.report.html_page import html_page
from loadtest.report.markdown import markdown
from loadtest.report.plots import plots
from loadtest.samples import read_samples
from loadtest.scenario import Scenario

REPORT_VERSION = 4  # of report.json; that of the raw times is run.py's
_REFERENCE_SHARE = 0.5
_SIZES = ("parameters", "bytes")
_DESCRIPTION = (
    "variant", "version", "precision", "parameters", "bytes", "stages", "brownout_ms"
)  # fmt: skip


def rebuild(folder: Path) -> str:
    """Writes report.json, report.md, report.html and PNGs into a folder that `run` filled.

    Returns the text of report.md. Raises LoadTestError when the folder holds no run.
    """
    report = build(folder)
    (folder / "report.json").write_text(json.dumps(report, indent=2) + "\n")
    drawn = plots(report)
    for name, figure in drawn.items():
        figure.savefig(folder / f"{name}.png", dpi=120)
    text = markdown(report)
    (folder / "report.md").write_text(text)
    (folder / "report.html").write_text(html_page(report, drawn))
    return text


def read_report(folder: Path) -> dict[str, Any]:
    """The report.json of a folder that `run` filled. Raises LoadTestError when it is not there."""
    try:
        report: dict[str, Any] = json.loads((folder / "report.json").read_text())
    except (OSError, ValueError) as error:
        raise LoadTestError(
            f"{folder} holds no report.json: python -m loadtest report {folder} makes it of a run"
        ) from error
    if (version := report.get("schema_version")) != REPORT_VERSION:
        raise LoadTestError(
            f"{folder / 'report.json'} has schema version {version}, not {REPORT_VERSION}: "
            f"rebuild it with python -m loadtest report {folder}, or measure again"
        )
    return report


def build(folder: Path) -> dict[str, Any]:
    """The contents of report.json. Raises LoadTestError when the folder holds no run."""
    try:
        about: dict[str, Any] = json.loads((folder / "run.json").read_text())
    except (OSError, ValueError) as error:
        raise LoadTestError(f"{folder} holds no run.json: name a folder that `run` made") from error
    if about["schema_version"] != SCHEMA_VERSION:
        raise LoadTestError(f"{folder} is of another version of this program: measure again")
    scenario = Scenario.model_validate(about["scenario"])
    servers = about.pop("servers")
    brownout_ms = None if about["url"] else scenario.brownout_ms
    measured = [
        _variant(folder, scenario, servers, model, choice)
        for model in about.pop("models")
        for choice in choices(model, brownout_ms)
    ]
    measured = [variant for variant in measured if variant["loads"]]
    if not measured:
        raise LoadTestError(f"{folder / 'samples'} holds no raw times: run python -m loadtest run")
    reference = _reference(scenario)
    for model in {variant["model"] for variant in measured}:
        family = [variant for variant in measured if variant["model"] == model]
        best = _frontier(family, reference)
        for variant in family:
            variant["on_frontier"] = variant["variant"] in best
    floor = dict(zip(("model", "variant"), NULL_MODEL, strict=True))
    return about | {
        "schema_version": REPORT_VERSION,
        "reference_load": reference,
        "variants": measured,
        "floor": _loads(folder, scenario, *floor.values()),
        "laws": [asdict(law) | label for law, label in _laws(measured, reference)],
        "refused": [
            f"{variant['model']}/{variant['variant']}, {name}, {reason}"
            for variant in measured
            for name, load in variant["loads"].items()
            for reason in load["refusals"]
        ],
    }


def _variant(
    folder: Path,
    scenario: Scenario,
    servers: list[dict[str, Any]],
    model: dict[str, Any],
    listed: dict[str, Any],
) -> dict[str, Any]:
    """One choice as the server describes it, with the figures of its loads.

    Of accuracies that differ by load, which brownout makes, its own is the lowest of its curve.
    """
    name = listed["variant"]
    own = [each for each in servers if (each["model"], each["variant"]) == (model["model"], name)]
    ready_s = [each["ready_s"] for each in own if each["ready_s"] is not None]
    peak_bytes = [each["peak_bytes"] for each in own if each["peak_bytes"] is not None]
    loads = _loads(folder, scenario, model["model"], name)
    for load in loads.values():
        load["accuracy"] = _accuracy(model, listed, load)
    opened = [load for load in loads.values() if _is_on_curve(load)]
    points = [
        LoadPoint(load["offered_rps"]["value"], load["latency_ms"]["p99"]["value"])
        for load in opened
    ]
    within = capacity(points, scenario.slo_p99_ms)
    ready = mean_of_rates(ready_s)
    return {
        "model": model["model"],
        "accuracy": _lowest([load["accuracy"] for load in opened or loads.values()]),
        **{key: listed[key] for key in _DESCRIPTION},
        "engine": listed.get("engine"),
        "ready_s": asdict(ready) if ready else None,
        "peak_bytes": max(peak_bytes, default=None),
        "loads": loads,
        "curve": [asdict(point) for point in points],
        "within_slo": asdict(within) if within else None,
    }


def _loads(folder: Path, scenario: Scenario, model: str, variant: str) -> dict[str, Any]:
    return {
        load.name: asdict(summary)
        for load in scenario.loads
        if (summary := _load(folder, scenario, f"{model}.{variant}.{load.name}"))
    }


def _load(folder: Path, scenario: Scenario, name: str) -> LoadSummary | None:
    rounds = [
        read_samples(files)
        for number in range(scenario.rounds)
        if (files := sample_files(folder, f"{name}.{number}"))
    ]
    return combine(rounds, scenario.slo_p99_ms) if rounds else None


def _accuracy(
    model: dict[str, Any], listed: dict[str, Any], load: dict[str, Any]
) -> dict[str, float] | None:
    """A choice's under a load; None where it was never measured."""
    if listed["brownout_ms"] is None:
        accuracy: dict[str, float] | None = listed["evaluations"].get(SPLIT, {}).get("accuracy")
        return accuracy
    return degraded_accuracy(model, load["degraded"]) if load["latency_ms"] else None


def _is_on_curve(load: dict[str, Any]) -> bool:
    """Of the latency-throughput curve is every open load of constant rate that was not refused."""
    return bool(load["kind"] == "open" and load["arrivals"] != "ramp" and load["latency_ms"])


def _lowest(accuracies: list[dict[str, float] | None]) -> dict[str, float] | None:
    told = [each for each in accuracies if each]
    return min(told, key=lambda each: each["value"], default=None)


def _reference(scenario: Scenario) -> str | None:
    """The open load that variants are compared by: the one nearest to half the saturation."""
    opened = [load for load in scenario.loads if load.kind == "open" and load.arrivals != "ramp"]
    if not opened:
        return None
    shares = [abs((load.share or _REFERENCE_SHARE) - _REFERENCE_SHARE) for load in opened]
    return opened[int(np.argmin(shares))].name


def _frontier(variants: list[dict[str, Any]], reference: str | None) -> list[str]:
    """Names of one family's variants that no other beats in accuracy, p99 and bytes."""
    candidates = [
        ParetoPoint(
            name=variant["variant"],
            accuracy=variant["accuracy"]["value"],
            latency_ms=load["latency_ms"]["p99"]["value"],
            bytes=variant["bytes"],
        )
        for variant in variants
        if variant["accuracy"] and (load := variant["loads"].get(reference)) and load["latency_ms"]
    ]
    return [candidate.name for candidate in pareto(candidates)]


def _laws(variants: list[dict[str, Any]], reference: str | None) -> Iterator[tuple[Any, Any]]:
    """Engine time, latency and cost against size, over all variants and for each precision.

    A cascade is no single size.
    """
    variants = [variant for variant in variants if len(variant["stages"]) == 1]
    what = {
        "engine, ms": lambda variant: _median_ms(variant, reference, "engine"),
        "end to end, ms": lambda variant: _p50_ms(variant, reference),
        "ms of the machine a text, saturated": _machine_ms,
    }
    precisions = sorted({variant["precision"] for variant in variants})
    for time, of in what.items():
        for size in _SIZES:
            for precision in (None, *precisions):
                chosen = [
                    (variant[size], of(variant))
                    for variant in variants
                    if precision in (None, variant["precision"])
                ]
                known = [(bytes_, ms) for bytes_, ms in chosen if ms]
                law = fit_power_law([each for each, _ in known], [ms for _, ms in known])
                if law:
                    yield law, {"time": time, "size": size, "precision": precision or "all"}


def _median_ms(variant: dict[str, Any], load: str | None, step: str) -> float | None:
    found = variant["loads"].get(load)
    return found["split_median_ms"][step] if found else None


def _p50_ms(variant: dict[str, Any], load: str | None) -> float | None:
    found = variant["loads"].get(load)
    return found["latency_ms"]["p50"]["value"] if found and found["latency_ms"] else None


def _machine_ms(variant: dict[str, Any]) -> float | None:
    """Milliseconds of the whole machine for a text, by the first closed load's throughput."""
    closed = (load for load in variant["loads"].values() if load["kind"] == "closed")
    first = next(closed, None)
    if not first or not first["achieved_rps"]:
        return None
    texts_per_s: float = first["achieved_rps"]["value"] * first["texts_per_request"]
    return 1e3 / texts_per_s
