"""Build a report from raw times: report.json, report.md, report.html and plots."""

import json
import math
from collections.abc import Callable, Iterator
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

from loadtest.analysis.capacity import capacity, load_points, machine_ms
from loadtest.analysis.cascade_choices import SPLIT, choices, degraded_accuracy, name_of
from loadtest.analysis.compare import compare, is_alternated
from loadtest.analysis.deployment import deployment
from loadtest.analysis.frontier import ParetoPoint, pareto
from loadtest.analysis.power_law import fit_power_law
from loadtest.analysis.statistics import mean_of_rates
from loadtest.analysis.summary import LoadSummary, combine
from loadtest.analysis.validity import THRESHOLDS, Thresholds, validity
from loadtest.measure.locust_phase import machine_file, sample_files
from loadtest.measure.null_model import NULL_MODEL
from loadtest.measure.run import SCHEMA_VERSION
from loadtest.measure.server import LoadTestError
from loadtest.report.check_file import read_check
from loadtest.report.html_page import html_page
from loadtest.report.markdown import markdown
from loadtest.report.plots import plots
from loadtest.samples import Samples, read_samples
from loadtest.scenario import Scenario

REPORT_VERSION = 7  # of report.json; run.py has that of the raw times
_REFERENCE_SHARE = 0.5
_SIZES = ("parameters", "bytes")
_DESCRIPTION = (
    "variant", "version", "precision", "parameters", "bytes", "stages", "brownout_ms"
)  # fmt: skip


def rebuild(folder: Path, thresholds: Thresholds = THRESHOLDS, before: Path | None = None) -> str:
    """Write report.json, report.md, report.html and PNG files into the folder of a run.

    Return the text of report.md. With `before`, the folder of an earlier report, they say what
    changed since, or why the two do not compare. Raise LoadTestError if a folder has no run or
    report.
    """
    report = build(folder, thresholds)
    if before is not None:
        report["changes"] = _changes(before, report)
    (folder / "report.json").write_text(json.dumps(report, indent=2) + "\n")
    drawn = plots(report)
    for name, figure in drawn.items():
        figure.savefig(folder / f"{name}.png", dpi=120)
    text = markdown(report)
    (folder / "report.md").write_text(text)
    (folder / "report.html").write_text(html_page(report, drawn))
    return text


def read_report(folder: Path) -> dict[str, Any]:
    """Read a run's report.json. Raise LoadTestError if there is none of this version."""
    try:
        report = _read_object(folder / "report.json")
    except (OSError, ValueError, RecursionError) as error:
        raise LoadTestError(
            f"{folder} has no report.json: python -m loadtest report {folder} makes it from a run"
        ) from error
    if (version := report.get("schema_version")) != REPORT_VERSION:
        raise LoadTestError(
            f"{folder / 'report.json'} has schema version {version}, not {REPORT_VERSION}: "
            f"rebuild it with python -m loadtest report {folder}, or measure again"
        )
    return report


def _read_object(path: Path) -> dict[str, Any]:
    found = json.loads(path.read_text())
    if not isinstance(found, dict):
        raise ValueError(f"{path} is no JSON object")  # noqa: TRY004  (said as of a damaged file)
    return found


def _changes(folder: Path, report: dict[str, Any]) -> dict[str, Any]:
    before = read_report(folder)
    changes, refused = [], None
    try:
        changes = [asdict(change) for change in compare(before, report)]
    except ValueError as error:
        refused = str(error)
    return {
        "folder": folder.resolve().name,
        "started_utc": before["started_utc"],
        "alternated": is_alternated(before, report),
        "changes": changes,
        "refused": refused,
    }


def build(folder: Path, thresholds: Thresholds = THRESHOLDS) -> dict[str, Any]:
    """Compute the contents of report.json. Raise LoadTestError if the folder has no run."""
    try:
        about = _read_object(folder / "run.json")
    except (OSError, ValueError, RecursionError) as error:
        raise LoadTestError(f"{folder} has no run.json: name a folder that `run` made") from error
    if (version := about.get("schema_version")) != SCHEMA_VERSION:
        raise LoadTestError(
            f"{folder / 'run.json'} has schema version {version}, not {SCHEMA_VERSION}: "
            "measure again"
        )
    scenario = Scenario.model_validate(about["scenario"])
    servers = about.pop("servers")
    brownout_ms = None if about["url"] else scenario.brownout_ms
    read = partial(_read_load, folder, scenario, thresholds)
    measured = [
        _variant(read, scenario, servers, model, choice)
        for model in about.pop("models")
        for choice in choices(model, brownout_ms)
    ]
    measured = [variant for variant in measured if variant["loads"]]
    if not measured:
        raise LoadTestError(
            f"{folder / 'samples'} has no raw times: measure again with python -m loadtest run"
        )
    in_each = scenario.rounds * len(scenario.loads)
    planned = about.pop("planned_phases", in_each * len(measured))
    reference = _reference(scenario)
    for model in {variant["model"] for variant in measured}:
        family = [variant for variant in measured if variant["model"] == model]
        best = _frontier(family, reference)
        for variant in family:
            variant["on_frontier"] = variant["variant"] in best
    report = about | {
        "schema_version": REPORT_VERSION,
        "reference_load": reference,
        "variants": measured,
        "floor": _loads(read, scenario, *NULL_MODEL),
        "laws": [asdict(law) | label for law, label in _power_laws(measured, reference)],
        "refused": _said(measured, "refusals"),
        "findings": _said(measured, "findings"),
        "validity": asdict(validity(measured, planned)),
    }
    sized = deployment(report)
    report["check"] = read_check(folder, sized.chosen if sized else None)
    return report | {"recommendation": sized and sized.as_json()}


def _said(measured: list[dict[str, Any]], field: str) -> list[str]:
    return [
        f"{name_of(variant)}, {name}, {sentence}"
        for variant in measured
        for name, load in variant["loads"].items()
        for sentence in load[field]
    ]


def _variant(
    read: Callable[[str], LoadSummary | None],
    scenario: Scenario,
    servers: list[dict[str, Any]],
    model: dict[str, Any],
    listed: dict[str, Any],
) -> dict[str, Any]:
    """Describe one choice as the server does, with the figures of its loads.

    Under brownout the accuracy differs by load; the choice's own is the lowest on its curve.
    """
    name = listed["variant"]
    own = [each for each in servers if (each["model"], each["variant"]) == (model["model"], name)]
    ready_s = [each["ready_s"] for each in own if each["ready_s"] is not None]
    peak_bytes = [each["peak_bytes"] for each in own if each["peak_bytes"] is not None]
    loads = _loads(read, scenario, model["model"], name)
    for load in loads.values():
        load["accuracy"] = _accuracy(model, listed, load)
    points = load_points(loads.values())
    opened = [
        load
        for load in loads.values()
        if any(math.isfinite(point.p99_ms) for point in load_points([load]))
    ]
    accuracies = [load["accuracy"] for load in opened or loads.values() if load["accuracy"]]
    within = capacity(points, scenario.slo_p99_ms)
    ready = mean_of_rates(ready_s)
    return {
        "model": model["model"],
        "accuracy": min(accuracies, key=lambda each: float(each["value"]), default=None),
        **{key: listed[key] for key in _DESCRIPTION},
        "engine": listed.get("engine"),
        "ready_s": asdict(ready) if ready else None,
        "peak_bytes": max(peak_bytes, default=None),
        "loads": loads,
        "curve": [
            {
                "rate_rps": each.rate_rps,
                "p99_ms": each.p99_ms if math.isfinite(each.p99_ms) else None,
            }
            for each in points
        ],
        "within_slo": asdict(within) if within else None,
    }


def _loads(
    read: Callable[[str], LoadSummary | None], scenario: Scenario, model: str, variant: str
) -> dict[str, Any]:
    curve = {load.name for load in scenario.curve_loads}
    return {
        load.name: summary.as_json() | {"on_curve": load.name in curve}
        for load in scenario.loads
        if (summary := read(f"{model}.{variant}.{load.name}"))
    }


def _read_load(
    folder: Path, scenario: Scenario, thresholds: Thresholds, name: str
) -> LoadSummary | None:
    rounds = read_rounds(folder, name, scenario.rounds)
    return combine(rounds, scenario.slo_p99_ms, thresholds) if rounds else None


def read_rounds(folder: Path, name: str, count: int) -> list[Samples]:
    """Read the raw times of one load on one variant, `name` being MODEL.VARIANT.LOAD."""
    return [
        read_samples(files, machine_file(folder, f"{name}.{number}"))
        for number in range(count)
        if (files := sample_files(folder, f"{name}.{number}"))
    ]


def _accuracy(
    model: dict[str, Any], listed: dict[str, Any], load: dict[str, Any]
) -> dict[str, float] | None:
    """Return a choice's accuracy under a load; None if it was never evaluated."""
    if listed["brownout_ms"] is None:
        accuracy: dict[str, float] | None = listed["evaluations"].get(SPLIT, {}).get("accuracy")
        return accuracy
    return degraded_accuracy(model, load["degraded"]) if load["status"].get("200") else None


def _reference(scenario: Scenario) -> str | None:
    """Return the load to compare variants by: on the curve, nearest to half the saturation."""
    far = {
        load.name: abs((load.share or _REFERENCE_SHARE) - _REFERENCE_SHARE)
        for load in scenario.curve_loads
    }
    return min(far, key=far.__getitem__, default=None)


def _frontier(variants: list[dict[str, Any]], reference: str | None) -> list[str]:
    """Return the names of one family's variants on the frontier of accuracy, p99 and bytes."""
    points = [
        ParetoPoint(
            name=variant["variant"],
            accuracy=variant["accuracy"]["value"],
            latency_ms=load["latency_ms"]["p99"]["value"],
            bytes=variant["bytes"],
        )
        for variant in variants
        if variant["accuracy"]
        and (load := variant["loads"].get(reference))
        and load["latency_ms"]
        and load["latency_ms"]["p99"]["value"]
    ]
    return [point.name for point in pareto(points)]


def _power_laws(variants: list[dict[str, Any]], reference: str | None) -> Iterator[tuple[Any, Any]]:
    """Fit engine time, latency and cost against size, over all variants and by precision.

    Leave cascades out: they have no single size.
    """
    variants = [variant for variant in variants if len(variant["stages"]) == 1]
    times = {
        "engine, ms": lambda variant: _median_ms(variant, reference, "engine"),
        "end to end, ms": lambda variant: _p50_ms(variant, reference),
        "ms of the machine a text, saturated": machine_ms,
    }
    precisions = sorted({variant["precision"] for variant in variants})
    for time, of in times.items():
        for size in _SIZES:
            for precision in (None, *precisions):
                chosen = [
                    (variant[size], of(variant))
                    for variant in variants
                    if precision in (None, variant["precision"])
                ]
                known = [(each, ms) for each, ms in chosen if ms]
                law = fit_power_law([each for each, _ in known], [ms for _, ms in known])
                if law:
                    yield law, {"time": time, "size": size, "precision": precision or "all"}


def _median_ms(variant: dict[str, Any], load: str | None, step: str) -> float | None:
    found = variant["loads"].get(load)
    return found["split_median_ms"][step] if found else None


def _p50_ms(variant: dict[str, Any], load: str | None) -> float | None:
    found = variant["loads"].get(load)
    return found["latency_ms"]["p50"]["value"] if found and found["latency_ms"] else None
