"""The report: raw times and run.json to report.json, report.md and a plot.

It does not know how the times were measured.
"""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from loadtest.frontier import Candidate, pareto
from loadtest.plot import plot
from loadtest.samples import read_samples
from loadtest.server import LoadTestError
from loadtest.summary import summarise
from loadtest.tables import markdown

PHASES = ("closed", "open")
SPLIT = "test"  # the evaluation that a variant is judged by


def rebuild(folder: Path) -> str:
    """Writes report.json, report.md and frontier.png into a folder that `run` filled.

    Returns the text of report.md. Raises LoadTestError when the folder holds no run.
    """
    try:
        about = json.loads((folder / "run.json").read_text())
    except (OSError, ValueError) as error:
        raise LoadTestError(f"{folder} holds no run.json: name a folder that `run` made") from error
    variants = [
        _variant(folder, model["model"], variant)
        for model in about.pop("models")
        for variant in model["variants"]
    ]
    measured = [variant for variant in variants if variant["phases"]]
    if not measured:
        raise LoadTestError(f"{folder / 'samples'} holds no raw times: run python -m loadtest run")
    best = {
        (model, name)
        for model in {variant["model"] for variant in measured}
        for name in _frontier([variant for variant in measured if variant["model"] == model])
    }
    for variant in measured:
        variant["on_frontier"] = (variant["model"], variant["variant"]) in best
    report = about | {"variants": measured}
    (folder / "report.json").write_text(json.dumps(report, indent=2) + "\n")
    plot(report, folder / "frontier.png")
    text = markdown(report)
    (folder / "report.md").write_text(text)
    return text


def _variant(folder: Path, model: str, listed: dict[str, Any]) -> dict[str, Any]:
    """One variant as the server describes it, with the figures of its phases."""
    files = {
        kind: folder / "samples" / f"{model}.{listed['variant']}.{kind}.parquet" for kind in PHASES
    }
    return {
        "model": model,
        "accuracy": listed["evaluations"].get(SPLIT, {}).get("accuracy"),
        **{key: listed[key] for key in ("variant", "version", "precision", "parameters", "bytes")},
        "phases": {
            kind: asdict(summarise(read_samples(file)))
            for kind, file in files.items()
            if file.is_file()
        },
    }


def _frontier(variants: list[dict[str, Any]]) -> list[str]:
    """Names of one family's variants that no other beats in accuracy, open p99 and bytes."""
    candidates = [
        Candidate(
            name=variant["variant"],
            accuracy=variant["accuracy"]["value"],
            latency_ms=variant["phases"]["open"]["latency_ms"]["p99"]["value"],
            bytes=variant["bytes"],
        )
        for variant in variants
        if variant["accuracy"] and variant["phases"].get("open", {}).get("latency_ms")
    ]
    return [candidate.name for candidate in pareto(candidates)]
