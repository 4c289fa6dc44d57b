"""A report as Markdown: sentences and tables, which the HTML page uses too."""

from typing import Any

from loadtest.analysis.capacity import lacks_its_lowest_rates
from loadtest.analysis.cascade_choices import cascade_description

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

{headline(report)}

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

## What the servers did not keep up with

{findings(report)}

## Excluded phases

{refusals(report)}
"""


def headline(report: dict[str, Any]) -> str:
    """Name the most accurate variant within the SLO and the fastest, and how much was excluded."""
    loads = [load for variant in report["variants"] for load in variant["loads"].values()]
    rounds = [each for load in loads for each in load["rounds"]]
    excluded = sum(bool(each["refusals"]) for each in rounds)
    if not excluded:
        return _best(report)
    unknown = ", ".join(name_of(each) for each in report["variants"] if is_unmeasured(each))
    return (
        f"{_best(report)} {excluded} of {len(rounds)} phases show the limits of the client or of "
        f"the machine and are excluded{unknown and f', and of {unknown} no rate is known'}."
    )


def _best(report: dict[str, Any]) -> str:
    slo_ms = report["scenario"]["slo_p99_ms"]
    kept = [v for v in report["variants"] if v["within_slo"]]
    if not kept and any(is_unmeasured(variant) for variant in report["variants"]):
        return f"Whether a variant keeps a p99 of at most {slo_ms:g} ms is unknown: measure again."
    if not kept:
        return f"No variant kept a p99 of at most {slo_ms:g} ms under any measured open load."
    within = [v for v in kept if v["accuracy"]]
    if not within:
        return _unscored_headline(kept, slo_ms)
    best = max(within, key=lambda variant: variant["accuracy"]["value"])
    fastest = max(within, key=lambda variant: variant["within_slo"]["rate_rps"])

    def described(variant: dict[str, Any]) -> str:
        cascade = _cascade(variant)
        return (
            f"{name_of(variant)} ({cascade and f'{cascade}; '}accuracy "
            f"{variant['accuracy']['value']:.3f}) {_handles(variant)}"
        )

    sentence = f"With a p99 of at most {slo_ms:g} ms, one replica of {described(best)}"
    if fastest is best:
        return (
            f"{sentence}; it is both the most accurate and the fastest variant within this limit."
        )
    return f"{sentence}; the fastest variant, {described(fastest)}."


def _unscored_headline(kept: list[dict[str, Any]], slo_ms: float) -> str:
    fastest = max(kept, key=lambda variant: variant["within_slo"]["rate_rps"])
    return (
        f"With a p99 of at most {slo_ms:g} ms, one replica of {name_of(fastest)}, the fastest "
        f"variant, {_handles(fastest)}; its accuracy is unknown, because it was not evaluated."
    )


def _handles(variant: dict[str, Any]) -> str:
    within = variant["within_slo"]
    more = "at least " if within["measured_out"] else ""
    return f"handles {more}{within['rate_rps']:.0f} requests/s"


def is_unmeasured(variant: dict[str, Any]) -> bool:
    """Tell whether a variant kept no p99 only because rounds at lower rates were excluded."""
    return not variant["within_slo"] and lacks_its_lowest_rates(variant["loads"].values())


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


def name_of(variant: dict[str, Any]) -> str:
    """Return model/variant."""
    return f"{variant['model']}/{variant['variant']}"


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


def table(head: list[str], rows: list[list[str]]) -> str:
    """Render a Markdown table with aligned columns, which is readable on a terminal too."""
    widths = [max(map(len, column)) for column in zip(head, *rows, strict=True)]
    lines = [head, ["-" * width for width in widths], *rows]
    return "\n".join(
        "| "
        + " | ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True))
        + " |"
        for line in lines
    )
