"""A report in words and tables, as Markdown.

It does not know raw times or files: it shows what the report holds.
"""

from typing import Any

from loadtest.summary import QUANTILES

STEPS = ("tokenize", "queue", "engine", "rest")


def markdown(report: dict[str, Any]) -> str:
    """The whole report.md."""
    machine = report["machine"]
    versions = ", ".join(f"{name} {version}" for name, version in machine["versions"].items())
    rate = (
        f"{report['open_share']:g} of the variant's own closed throughput"
        if report["open_share"]
        else "the given rate"
    )
    variants = _table(
        ["model/variant", "precision", "parameters", "MB", "accuracy", "closed requests/s"]
        + [f"open {name}, ms" for name in QUANTILES]
        + ["frontier"],
        [_variant_row(variant) for variant in report["variants"]],
    )
    phases = _table(
        ["model/variant", "phase", "offered/s", "achieved/s", "requests", "by status"]
        + [f"{name}, ms" for name in QUANTILES]
        + [f"{step}, ms" for step in STEPS]
        + ["p99 lateness, ms"],
        [_phase_row(*item) for item in _phases(report)],
    )
    return f"""# Latency, throughput and accuracy against model size

{report["started_utc"]}, {machine["cpu"]}, {machine["cores"]} cores, {machine["system"]},
Python {machine["python"]}, {versions}.
Client and server share the machine.

    {report["command"]}

## Variants

{variants}

Brackets hold 95 % intervals. Those of the latencies are between order statistics and take the
requests as independent: where requests queue, the true interval is wider. Open arrivals are
Poisson, at {rate}; their latency counts from the intended start.
On the frontier: by these values no other variant of the family is as good in accuracy, open p99
and bytes and better in one of them.

## Phases

{phases}

Steps are medians; rest is HTTP, the network and the client. A closed phase shows throughput; its
latency hides queueing.

## Validity

{_validity(report)}
"""


def _phases(report: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    return [
        (_name(variant), phase)
        for variant in report["variants"]
        for phase in variant["phases"].values()
    ]


def _name(variant: dict[str, Any]) -> str:
    return f"{variant['model']}/{variant['variant']}"


def _variant_row(variant: dict[str, Any]) -> list[str]:
    phases = variant["phases"]
    opened = phases.get("open", {}).get("latency_ms", {})
    return [
        _name(variant),
        variant["precision"],
        f"{variant['parameters']:,}",
        f"{variant['bytes'] / 1e6:.1f}",
        _estimate(variant["accuracy"], ".3f"),
        f"{phases['closed']['achieved_rps']:.1f}" if "closed" in phases else "",
        *(_estimate(opened.get(name), ".1f") for name in QUANTILES),
        "yes" if variant["on_frontier"] else "",
    ]


def _phase_row(variant: str, phase: dict[str, Any]) -> list[str]:
    steps = (phase["split_median_ms"][step] for step in STEPS)
    return [
        variant,
        f"closed, {phase['users']} users" if phase["kind"] == "closed" else "open",
        f"{phase['offered_rps']:.1f}",
        f"{phase['achieved_rps']:.1f}",
        str(phase["requests"]),
        ", ".join(f"{code}: {count}" for code, count in phase["status"].items()),
        *(_estimate(phase["latency_ms"].get(name), ".1f") for name in QUANTILES),
        *("" if ms is None else f"{ms:.2f}" for ms in steps),
        f"{phase['lateness_p99_ms']:.1f}",
    ]


def _validity(report: dict[str, Any]) -> str:
    lines = [
        f"- **{variant}, {phase['kind']}**: {doubt}"
        for variant, phase in _phases(report)
        for doubt in phase["doubts"]
    ]
    return "\n".join(lines) or "No doubt: the client kept its schedule, all was answered."


def _estimate(estimate: dict[str, float | None] | None, form: str) -> str:
    """`0.870 [0.855, 0.884]`; a question mark stands for a bound that the sample can't give."""
    if estimate is None:
        return "unknown"
    bounds = (estimate["low"], estimate["high"])
    low, high = ("?" if bound is None else format(bound, form) for bound in bounds)
    return f"{estimate['value']:{form}} [{low}, {high}]"


def _table(head: list[str], rows: list[list[str]]) -> str:
    """A Markdown table whose columns line up, so that it reads well when printed too."""
    widths = [max(map(len, column)) for column in zip(head, *rows, strict=True)]
    lines = [head, ["-" * width for width in widths], *rows]
    return "\n".join(
        "| "
        + " | ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True))
        + " |"
        for line in lines
    )
