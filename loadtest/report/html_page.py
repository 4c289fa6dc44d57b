"""The HTML page of a report: one file that needs no network."""

import base64
import hashlib
import html
import json
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from loadtest.analysis.cascade_choices import name_of
from loadtest.analysis.compare import Change
from loadtest.report.chart_data import chart_data
from loadtest.report.comparison import comparison_notes, comparison_table
from loadtest.report.first_screen import first_screen
from loadtest.report.html_parts import STYLE, prose, svg, table
from loadtest.report.markdown import (
    BOUNDS,
    CASCADES,
    LOADS,
    STEPS,
    VARIANTS,
    findings,
    known_splits,
    load_table,
    power_laws,
    refusals,
    variant_table,
)
from loadtest.report.verdict import verdict

_HERE = Path(__file__).parent
_SCRIPT = "\n".join(
    (_HERE / name).read_text() for name in ("vendor/uPlot.iife.min.js", "page.js", "charts.js")
)
_CHART_STYLE = (_HERE / "vendor" / "uPlot.min.css").read_text()
_POLICY = (
    "default-src 'none'; base-uri 'none'; form-action 'none'; img-src data:; "
    "style-src 'unsafe-inline'; script-src 'sha256-"
    f"{base64.b64encode(hashlib.sha256(_SCRIPT.encode()).digest()).decode()}'"
)
_CURVES = "p99 against the offered rate; the table Loads has the figures"


def html_page(report: dict[str, Any], drawn: dict[str, Figure]) -> str:
    """Render the whole report.html, charts and plots included."""
    machine = report["machine"]
    versions = ", ".join(f"{name} {version}" for name, version in machine["versions"].items())
    found = verdict(report)
    load = html.escape(str(report["reference_load"]))
    laws = power_laws(report)
    data = chart_data(report, found.subject)
    return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{_POLICY}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<link rel="icon" href="data:,"><title>Sizewise load test</title>
<style>{_CHART_STYLE}{STYLE}</style></head><body>
<main>
<p class="soft">Sizewise load test, {html.escape(report["started_utc"])},
{html.escape(machine["cpu"])}, {machine["cores"]} cores</p>
{first_screen(found)}
<h2>How much load one replica handles</h2>
{_chart("curves", _CURVES, "curve-keys") if data["curves"] else ""}
{_static(drawn, "latency_throughput")}
{_costs(drawn) if data["costs"] else ""}
<h2>Where a request's time goes</h2>{_split(report)}
<h2 class="live">How one load went</h2>
{_choices({"variant": "Variant", "load": "Load"})}
{_chart("distribution", "Requests by latency")}
{_chart("timeline", "p50, p99 and requests not answered with 200, over time", "timeline-keys")}
{_changes(report)}
<h2>Variants</h2>{table(*variant_table(report), "Variants")}
<p><small>Brackets are 95&nbsp;% confidence intervals over {report["scenario"]["rounds"]} rounds.
Latency is measured from the intended start of each request, so it includes waiting. {BOUNDS}
{html.escape(VARIANTS.format(load=report["reference_load"]))} {CASCADES}</small></p>
<h2>Loads</h2>{table(*load_table(report), "Loads")}
<p><small>{LOADS}</small></p>
<h2>Time against size</h2>
{_figure(drawn, "latency_size")}
{html.escape(laws) if isinstance(laws, str) else table(*laws, "Time against size")}
<h2>What the servers did not keep up with</h2><p>{_lines(findings(report))}</p>
<h2>Phases left out</h2><div class="excluded">{_excluded(report)}</div>
<h2>Command</h2><pre>{html.escape(report["command"])}</pre>
<p><small>{html.escape(machine["system"])}, Python {html.escape(machine["python"])},
{html.escape(versions)}. Times of a request are medians under {load}.</small></p>
</main>
<script type="application/json" id="data">{_json(data)}</script>
<script>{_SCRIPT}</script>
</body></html>
"""


def _json(data: dict[str, Any]) -> str:
    """Write JSON that no HTML parser ends early."""
    return json.dumps(data).replace("&", r"\u0026").replace("<", r"\u003c")


def _lines(text: str) -> str:
    return html.escape(text).replace("\n- ", "<br>").removeprefix("- ")


def _excluded(report: dict[str, Any]) -> str:
    validity = _lines(refusals(report))
    if not report["refused"]:
        return validity
    summary = f"{len(report['refused'])} reasons"
    return f"<details><summary>{summary}</summary>{validity}</details>"


def _chart(name: str, label: str, keys: str | None = None) -> str:
    """Render the place of a chart, with what is said below it."""
    below = f'<ul class="keys live" id="{keys}"></ul>' if keys else ""
    return (
        f'<div class="live"><div class="chart" id="{name}" role="img" aria-label="{label}" '
        f'aria-describedby="{name}-said"></div>'
        f'{below}<p class="soft" id="{name}-said"></p></div>'
    )


def _costs(drawn: dict[str, Figure]) -> str:
    return (
        f"<h2>What accuracy costs</h2>{_choices({'cost': 'Cost'})}"
        f"{_chart('costs', 'Accuracy against cost')}{_static(drawn, 'frontier')}"
    )


def _choices(labels: dict[str, str]) -> str:
    made = (
        f'<label>{label} <select id="{name}"></select></label>' for name, label in labels.items()
    )
    return f'<p class="choose live">{"".join(made)}</p>'


def _figure(drawn: dict[str, Figure], name: str, kind: str = "") -> str:
    if name not in drawn:
        return ""
    return f'<figure tabindex="0"{kind}>{svg(drawn[name], name)}</figure>'


def _static(drawn: dict[str, Figure], name: str) -> str:
    """Render the plot that a chart replaces, but on paper."""
    return _figure(drawn, name, ' class="static"')


def _changes(report: dict[str, Any]) -> str:
    told = report.get("changes")
    if not told or told["refused"]:
        return ""
    changes = [Change(**each) for each in told["changes"]]
    notes = " ".join(comparison_notes(changes, told["alternated"]))
    return (
        f"<h2>What changed since {html.escape(told['folder'])}</h2>"
        f"{table(*comparison_table(changes), 'What changed')}<p><small>{prose(notes)}</small></p>"
    )


def _split(report: dict[str, Any]) -> str:
    """Render the parts of the median latency as bars, the null model's first."""
    known = known_splits(report)
    if not known:
        return "<p>No open load has the times of the server's steps.</p>"
    longest_ms = max(sum(split[step] for step in STEPS) for _, split in known)
    rows = "\n".join(
        _split_row(name_of(each) if each else "no inference", split, longest_ms)
        for each, split in known
    )
    words = [each.replace("rest", "HTTP, network, client") for each in STEPS]
    keys = "".join(
        f'<li style="--key: var(--c{number})">{word}</li>' for number, word in enumerate(words)
    )
    return f'<table class="split"><tbody>{rows}</tbody></table><ul class="keys">{keys}</ul>'


def _split_row(name: str, split: dict[str, float], longest_ms: float) -> str:
    parts = "".join(
        f'<div style="--key: var(--c{number}); width: {100 * split[step] / longest_ms:.2f}%" '
        f'title="{step} {split[step]:.2f} ms"></div>'
        for number, step in enumerate(STEPS)
    )
    total_ms = sum(split[step] for step in STEPS)
    return (
        f'<tr><th scope="row">{html.escape(name)}</th><td><div class="stack">{parts}</div></td>'
        f"<td>{total_ms:.1f}&nbsp;ms</td></tr>"
    )
