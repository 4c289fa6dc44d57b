"""A report as Markdown: sentences and tables, which the HTML page uses too."""

from typing import Any

from loadtest.analysis.cascade_choices import cascade_description, name_of
from loadtest.analysis.compare import Change
from loadtest.report.comparison import comparison_text
from loadtest.report.one_replica import is_unmeasured
from loadtest.report.text_table import table
from loadtest.report.verdict import verdict, verdict_text

STEPS = ("tokenize", "queue", "engine", "rest")
BOUNDS = "A question mark stands for a bound that needs more rounds."
VARIANTS = """p50, p99 and p99.9 are latencies under the load {load}. A variant is on the frontier
if no other variant of its family is at least as good in accuracy, p99 and bytes, and better in
one."""
CASCADES = """The parameters and bytes of a cascade are sums over its stages, and fits against size
leave it out. Under brownout, cheaper variants answer the texts that would wait too long; its
accuracy is the lowest under any open load."""
LOADS = """Rates are requests per second; in SLO counts those answered within it. A request that was
refused, failed or got no answer is slower than any limit: "unanswered" stands for a latency that
falls on one. The capacity ends below a rate of which more than 1 % were unanswered, or with which
the server did not keep up. tokenize, queue and engine are medians of the server's steps; rest is
HTTP, network and client. A closed load measures throughput: its latency hides queueing, because
users wait before they send again. "no inference" is the null model: the same server, but nothing to
compute."""


def known_splits(report: dict[str, Any]) -> list[tuple[dict[str, Any] | None, dict[str, float]]]:
    """Return the median of each step under the reference load, by variant; None, the null model.

    Only where all steps are known.
    """
    load = report["reference_load"]
    shown = [(None, report["floor"]), *((each, each["loads"]) for each in report["variants"])]
    splits = [(each, loads[load]["split_median_ms"]) for each, loads in shown if load in loads]
    return [(each, split) for each, split in splits if all(split[s] is not None for s in STEPS)]


def markdown(report: dict[str, Any]) -> str:
    """Render the whole report.md."""
    machine, scenario = report["machine"], report["scenario"]
    versions = ", ".join(f"{name} {version}" for name, version in machine["versions"].items())
    where = (
        f"The server is {report['url']}; the client ran on this machine."
        if report["url"]
        else "Client and server share this machine."
    )
    laws = power_laws(report)
    return f"""# Latency, throughput and accuracy against model size

{verdict_text(verdict(report))}

{report["started_utc"]}, {machine["cpu"]}, {machine["cores"]} cores, {machine["system"]},
Python {machine["python"]}, {versions}.
{where}

    {report["command"]}

## Variants

{table(*variant_table(report))}

Brackets are 95 % confidence intervals over {scenario["rounds"]} rounds. Latency is measured
from the intended start of each request, so it includes waiting. {BOUNDS}
{VARIANTS.format(load=report["reference_load"])}
{CASCADES}

## Loads

{table(*load_table(report))}

{LOADS}

## Time against size

{laws if isinstance(laws, str) else table(*laws)}

{_changes(report)}## What the servers did not keep up with

{findings(report)}

## Phases left out

{refusals(report)}
"""


def _changes(report: dict[str, Any]) -> str:
    told = report.get("changes")
    if not told or told["refused"]:
        return ""
    changes = [Change(**each) for each in told["changes"]]
    return f"## What changed\n\n{comparison_text(changes, told['alternated'])}\n\n"


def variant_table(report: dict[str, Any]) -> tuple[list[str], list[list[str]]]:
    """Return the head and one row per variant."""
    head = [
        "model/variant", "precision", "engine", "parameters", "MB", "accuracy",
        "saturated requests/s", "bulk, texts/s", "requests/s within the SLO",
        "p50, ms", "p99, ms", "p99.9, ms", "peak MB", "ready, s", "frontier",
    ]  # fmt: skip
    return head, [_variant_row(variant, report["reference_load"]) for variant in report["variants"]]


def _variant_row(variant: dict[str, Any], reference: str | None) -> list[str]:
    closed = [load for load in variant["loads"].values() if load["kind"] == "closed"]
    bulk = [load for load in closed if load["texts_per_request"] > 1]
    latency = variant["loads"].get(reference, {}).get("latency_ms", {})
    return [
        name_of(variant),
        _cascade(variant) or variant["precision"],
        variant["engine"] or "",
        f"{variant['parameters']:,}",
        f"{variant['bytes'] / 1e6:.1f}",
        estimate(variant["accuracy"], ".3f"),
        estimate(closed[0]["achieved_rps"], ".1f") if closed else "",
        estimate(bulk[0]["achieved_rps"], ".0f", bulk[0]["texts_per_request"]) if bulk else "",
        _within(variant),
        *(_latency(latency.get(q)) for q in ("p50", "p99", "p99.9")),
        f"{variant['peak_bytes'] / 1e6:.0f}" if variant["peak_bytes"] else "",
        estimate(variant["ready_s"], ".1f") if variant["ready_s"] else "",
        "yes" if variant["on_frontier"] else "",
    ]


def _within(variant: dict[str, Any]) -> str:
    within = variant["within_slo"]
    if not within:
        return "unknown" if is_unmeasured(variant) else "none"
    return f"{'>= ' if within['measured_out'] else ''}{within['rate_rps']:.0f}"


def load_table(report: dict[str, Any]) -> tuple[list[str], list[list[str]]]:
    """Return the head and one row per load of each variant, the null model's last."""
    head = [
        "model/variant", "load", "offered/s", "achieved/s", "in SLO/s", "by status",
        "degraded", "accuracy",
        "p50, ms", "p90, ms", "p99, ms", *(f"{step}, ms" for step in STEPS), "p99 lateness, ms",
    ]  # fmt: skip
    shown = [(name_of(variant), variant["loads"]) for variant in report["variants"]]
    shown.append(("no inference", report["floor"]))
    rows = [
        _load_row(name, load_name, load)
        for name, loads in shown
        for load_name, load in loads.items()
    ]
    return head, rows


def _load_row(variant: str, name: str, load: dict[str, Any]) -> list[str]:
    steps = (load["split_median_ms"][step] for step in STEPS)
    kept = [each for each in load["rounds"] if not each["refusals"]]
    return [
        variant,
        name,
        *(estimate(load[rate], ".1f") for rate in ("offered_rps", "achieved_rps", "goodput_rps")),
        ", ".join(f"{code}: {count}" for code, count in load["status"].items()),
        f"{sum(load['degraded'].values()):.1%}" if kept else "unknown",
        estimate(load["accuracy"], ".3f") if "accuracy" in load else "",
        *(_latency(load["latency_ms"].get(q)) for q in ("p50", "p90", "p99")),
        *("" if ms is None else f"{ms:.2f}" for ms in steps),
        f"{max(each['lateness_p99_ms'] for each in kept):.1f}" if kept else "",
    ]


def power_laws(report: dict[str, Any]) -> tuple[list[str], list[list[str]]] | str:
    """Return the head and one row per fitted t0 + c * (size / unit)^beta, or why there is none."""
    if not report["laws"]:
        return "No curve was fitted: a fit needs at least five variants."
    head = ["time", "against", "precision", "points", "t0", "c", "unit", "beta", "verdict"]
    return head, [
        [
            law["time"],
            law["size"],
            law["precision"],
            str(law["points"]),
            estimate(law["t0"], ".2f"),
            estimate(law["c"], ".2f"),
            f"{law['unit']:,.0f}",
            estimate(law["beta"], ".2f"),
            "; ".join(law["doubts"]) or f"power law; the points scatter by {law['scatter']:.0%}",
        ]
        for law in report["laws"]
    ]


def refusals(report: dict[str, Any]) -> str:
    """List the refused phases with the reasons, one per line."""
    lines = [f"- {reason}" for reason in report["refused"]]
    return "\n".join(lines) or "None: every phase was valid."


def findings(report: dict[str, Any]) -> str:
    """List what the servers did not keep up with, one per line; these phases count."""
    lines = [f"- {finding}" for finding in report["findings"]]
    return "\n".join(lines) or "Nothing."


def _cascade(variant: dict[str, Any]) -> str:
    return cascade_description(variant["stages"], variant["brownout_ms"])


def _latency(found: dict[str, float | None] | None) -> str:
    if found and found["value"] is None:
        return "unanswered"
    return estimate(found, ".1f")


def estimate(found: dict[str, float | None] | None, form: str, times: float = 1.0) -> str:
    """Format as `0.870 [0.855, 0.884]`; `?` stands for a bound that is unknown."""
    if found is None or found["value"] is None:
        return "unknown"
    bounds = (found["low"], found["high"])
    low, high = ("?" if bound is None else format(bound * times, form) for bound in bounds)
    return f"{found['value'] * times:{form}} [{low}, {high}]"
