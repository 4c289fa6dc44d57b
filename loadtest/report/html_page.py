"""The HTML page of a report: one file that needs no network."""

import html
from typing import Any

from matplotlib.figure import Figure

from loadtest.report.html_parts import STYLE, svg, table
from loadtest.report.markdown import (
    BOUNDS,
    CASCADES,
    LOADS,
    VARIANTS,
    findings,
    headline,
    load_table,
    power_laws,
    refusals,
    variant_table,
)

_TITLES = {
    "frontier": "What accuracy costs in latency",
    "latency_throughput": "How much load one replica handles",
    "latency_size": "How time grows with size",
    "split": "Where a request's time goes",
}


def html_page(report: dict[str, Any], drawn: dict[str, Figure]) -> str:
    """Render the whole report.html, plots included."""
    machine = report["machine"]
    versions = ", ".join(f"{name} {version}" for name, version in machine["versions"].items())
    loads = [load for variant in report["variants"] for load in variant["loads"].values()]
    rounds = [each for load in loads for each in load["rounds"]]
    validity = html.escape(refusals(report)).replace("\n- ", "<br>").removeprefix("- ")
    if refused := sum(bool(each["refusals"]) for each in rounds):
        validity = (
            f"<details><summary>{refused} of {len(rounds)} phases are excluded from all figures: "
            f"show the reasons</summary>{validity}</details>"
        )
    kept_up = html.escape(findings(report)).replace("\n- ", "<br>").removeprefix("- ")
    laws = power_laws(report)
    figures = "\n".join(
        f"<h2>{_TITLES[name]}</h2>\n<figure>{svg(figure, name)}</figure>"
        for name, figure in drawn.items()
    )
    return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<link rel="icon" href="data:,"><title>Sizewise load test</title><style>{STYLE}</style></head><body>
<h1>Latency, throughput and accuracy against model size</h1>
<p class="headline">{html.escape(headline(report))}</p>
<p><small>{report["started_utc"]}, {html.escape(machine["cpu"])}, {machine["cores"]} cores.
Brackets are 95&nbsp;% confidence intervals over {report["scenario"]["rounds"]} rounds. Latency is
measured from the intended start of each request, so it includes waiting.
{BOUNDS}</small></p>
{figures}
<h2>Variants</h2>{table(*variant_table(report))}
<p><small>{html.escape(VARIANTS.format(load=report["reference_load"]))}
{CASCADES}</small></p>
<h2>What the servers did not keep up with</h2><p>{kept_up}</p>
<h2>Excluded phases</h2><div class="excluded">{validity}</div>
<h2>Loads</h2>{table(*load_table(report))}
<p><small>{LOADS}</small></p>
<h2>Time against size</h2>{html.escape(laws) if isinstance(laws, str) else table(*laws)}
<h2>Command</h2><pre>{html.escape(report["command"])}</pre>
<p><small>{html.escape(machine["system"])}, Python {machine["python"]}, {html.escape(versions)}
</small></p>
</body></html>
"""
