"""A report in words and tables, as Markdown.

It does not know raw times or files: it shows what the report holds.
"""

from typing import Any

from loadtest.analysis.cascade_choices import cascade_description

STEPS = ("tokenize", "queue", "engine", "rest")
CASCADES = """A cascade is no single variant: its parameters and bytes are those of all its stages,
and no fit against size counts it. Under brownout cheaper variants answer texts that would wait too
long; its accuracy is the lowest that it has under an open load."""


def markdown(report: dict[str, Any]) -> str:
    """The whole report.md."""
    machine, scenario = report["machine"], report["scenario"]
    versions = ", ".join(f"{name} {version}" for name, version in machine["versions"].items())
    where = (
        f"The server is {report['url']}; the client ran here."
        if report["url"]
        else "Client and server share the machine."
    )
    return f"""# Latency, throughput and accuracy against model size

{headline(report)}

{report["started_utc"]}, {machine["cpu"]}, {machine["cores"]} cores, {machine["system"]},
Python {machine["python"]}, {versions}.
{where}

    {report["command"]}

## Variants

{table(*variant_table(report))}

Brackets hold 95 % intervals over {scenario["rounds"]} rounds. Latency is that of
{report["reference_load"]}, from the intended start. On the frontier: no other variant of the family
is as good in accuracy, p99 and bytes and better in one of them.
{CASCADES}

## Loads

{table(*load_table(report))}

Steps are medians; rest is HTTP, the network and the client. A closed load shows throughput; its
latency hides queueing.

## Latency and cost against size

{table(*law_table(report)) if report["laws"] else "Fewer than five variants: no curve was fitted."}

## Refused

{refused(report)}
"""


def headline(report: dict[str, Any]) -> str:
    """In a sentence: the most accurate variant within the SLO, and the fastest."""
    slo_ms = report["scenario"]["slo_p99_ms"]
    within = [v for v in report["variants"] if v["within_slo"] and v["accuracy"]]
    if not within:
        return f"No variant kept its p99 within {slo_ms:g} ms under any measured open load."
    best = max(within, key=lambda variant: variant["accuracy"]["value"])
    fastest = max(within, key=lambda variant: variant["within_slo"]["rate_rps"])

    def said(variant: dict[str, Any]) -> str:
        more = "at least " if variant["within_slo"]["measured_out"] else ""
        made = _made_of(variant)
        return (
            f"{name_of(variant)} ({made and f'{made}; '}accuracy "
            f"{variant['accuracy']['value']:.3f}) answers {more}"
            f"{variant['within_slo']['rate_rps']:.0f} requests/s"
        )

    sentence = f"With a p99 of at most {slo_ms:g} ms a replica of {said(best)}"
    if fastest is best:
        return f"{sentence}; no variant is faster."
    return f"{sentence}; the fastest, {said(fastest)}."


def variant_table(report: dict[str, Any]) -> tuple[list[str], list[list[str]]]:
    """Head and rows: one a variant."""
    head = [
        "model/variant", "precision", "engine", "parameters", "MB", "accuracy",
        "saturated requests/s", "in bulk, texts/s", "requests/s within the SLO",
        "p50, ms", "p99, ms", "p99.9, ms", "peak MB", "ready, s", "frontier",
    ]  # fmt: skip
    return head, [_variant_row(variant, report["reference_load"]) for variant in report["variants"]]


def _variant_row(variant: dict[str, Any], reference: str | None) -> list[str]:
    closed = [load for load in variant["loads"].values() if load["kind"] == "closed"]
    bulk = [load for load in closed if load["texts_per_request"] > 1]
    latency = variant["loads"].get(reference, {}).get("latency_ms", {})
    within = variant["within_slo"]
    return [
        name_of(variant),
        _made_of(variant) or variant["precision"],
        variant["engine"] or "",
        f"{variant['parameters']:,}",
        f"{variant['bytes'] / 1e6:.1f}",
        estimate(variant["accuracy"], ".3f"),
        estimate(closed[0]["achieved_rps"], ".1f") if closed else "",
        estimate(bulk[0]["achieved_rps"], ".0f", bulk[0]["texts_per_request"]) if bulk else "",
        f"{'>= ' if within['measured_out'] else ''}{within['rate_rps']:.0f}" if within else "none",
        *(estimate(latency.get(q), ".1f") for q in ("p50", "p99", "p99.9")),
        f"{variant['peak_bytes'] / 1e6:.0f}" if variant["peak_bytes"] else "",
        estimate(variant["ready_s"], ".1f") if variant["ready_s"] else "",
        "yes" if variant["on_frontier"] else "",
    ]


def load_table(report: dict[str, Any]) -> tuple[list[str], list[list[str]]]:
    """Head and rows: one a load of a variant, those of the floor last."""
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
        *(estimate(load["latency_ms"].get(q), ".1f") for q in ("p50", "p90", "p99")),
        *("" if ms is None else f"{ms:.2f}" for ms in steps),
        f"{max(each['lateness_p99_ms'] for each in kept):.1f}" if kept else "",
    ]


def law_table(report: dict[str, Any]) -> tuple[list[str], list[list[str]]]:
    """Head and rows: one a fitted curve t0 + c * (size / unit)^beta."""
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
            "; ".join(law["doubts"]) or f"a power law, points within {law['scatter']:.0%}",
        ]
        for law in report["laws"]
    ]


def refused(report: dict[str, Any]) -> str:
    """What was measured but may not be believed, a line each."""
    lines = [f"- {reason}" for reason in report["refused"]]
    return "\n".join(lines) or "Nothing: the client kept its schedule and the machine its pace."


def _made_of(variant: dict[str, Any]) -> str:
    return cascade_description(variant["stages"], variant["brownout_ms"])


def name_of(variant: dict[str, Any]) -> str:
    """model/variant."""
    return f"{variant['model']}/{variant['variant']}"


def estimate(found: dict[str, float | None] | None, form: str, times: float = 1.0) -> str:
    """`0.870 [0.855, 0.884]`; a question mark stands for a bound that the sample can't give."""
    if found is None or found["value"] is None:
        return "unknown"
    bounds = (found["low"], found["high"])
    low, high = ("?" if bound is None else format(bound * times, form) for bound in bounds)
    return f"{found['value'] * times:{form}} [{low}, {high}]"


def table(head: list[str], rows: list[list[str]]) -> str:
    """A Markdown table whose columns line up, so that it reads well when printed too."""
    widths = [max(map(len, column)) for column in zip(head, *rows, strict=True)]
    lines = [head, ["-" * width for width in widths], *rows]
    return "\n".join(
        "| "
        + " | ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True))
        + " |"
        for line in lines
    )
