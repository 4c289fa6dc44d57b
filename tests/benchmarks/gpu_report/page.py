"""The report's page: one HTML file with its plots, which needs no network.

`python -m tests.benchmarks.gpu_report.page --report JSON --out HTML`
"""

import argparse
import html
import json
from pathlib import Path

from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter

from loadtest.report.html_parts import STYLE, svg, table
from tests.benchmarks.gpu_report.parts import SERVED
from tests.benchmarks.gpu_report.report import left_out
from tests.benchmarks.gpu_report.tables import (
    busy_sentence,
    ceiling,
    ceiling_table,
    headline,
    loads,
    path_table,
    served,
    served_table,
    tests_sentence,
)


def _plot(content, names, label, *, top=None):
    """Figures over the HTTP processes, a colour for each number of clients."""
    figure = Figure(figsize=(8.0, 4.2), layout="constrained")
    axes = figure.subplots()
    for colour, (clients, by_processes) in enumerate(served(content).items()):
        for style, name in zip(("o-", "s--"), names, strict=False):
            values = [each[name] for each in by_processes.values()]
            kind = f", {name.removesuffix('_ms')}" if len(names) > 1 else ""
            axes.plot(list(by_processes), values, style, color=f"C{colour}", ms=4,
                      label=f"{clients:,} clients{kind}")  # fmt: skip
    if top:
        axes.axhline(top, ls=":", color="grey", label="offline ceiling")
    axes.set(xlabel="HTTP processes", ylabel=label)
    axes.set_xticks(content["subject"]["http_processes"])
    if len(names) > 1:
        axes.set_yscale("log")
        axes.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
        axes.yaxis.set_minor_formatter(NullFormatter())
    else:
        axes.set_ylim(bottom=0)
    axes.yaxis.set_major_formatter("{x:,g}")
    axes.legend(fontsize=8, loc="center left", bbox_to_anchor=(1.0, 0.5))
    return figure


def page(content):
    """The whole page."""
    subject, about = content["subject"], content["about"]
    machine, gpu = about["machine"], about["gpu"]
    lacks = [html.escape(each) for each in left_out(content)]
    excluded = "<br>".join(lacks) or "Every part has run to its end."
    figures = ""
    if any(served(content).values()):
        top = ceiling(content, SERVED, subject["device"])
        rate = _plot(content, ["texts_per_s"], "texts/s served", top=top)
        latency = _plot(content, ["p50_ms", "p99_ms"], "latency, ms")
        figures = (
            f"<figure>{svg(rate, 'rate')}</figure>\n<figure>{svg(latency, 'latency')}</figure>"
        )
    on = f"{gpu['name']}, driver {gpu['driver']}" if gpu else f"device {subject['device']}"
    versions = ", ".join(f"{name} {version}" for name, version in machine["versions"].items())
    return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<link rel="icon" href="data:,"><title>Sizewise GPU report</title><style>{STYLE}</style></head><body>
<h1>The teacher on {html.escape(subject["device"])}: offline, served, and the path to it</h1>
<p class="headline">{html.escape(headline(content))}</p>
<p><small>{about["started_utc"]}, commit {html.escape(str(subject["commit"]))}, {html.escape(on)},
{html.escape(machine["cpu"])}, {machine["cores"]} cores. The teacher:
{html.escape(subject["teacher"]["origin"])}, {subject["teacher"]["parameters"]:,} parameters.
Load from {html.escape(" and ".join(sorted(loads(content))) or "nothing yet")}.
{html.escape(busy_sentence(content))}</small></p>
<h2>Not measured</h2><div class="excluded">{excluded}</div>
<h2>Served, {SERVED}</h2>
{figures}
{table(*served_table(content))}
<h2>Offline ceilings</h2>{table(*ceiling_table(content))}
<p><small>Each round's best budget of padded tokens, tokenization included; the engine alone starts
from tokens. Bound buffers run one batch over and over: their gain is the most that it could be.
</small></p>
<h2>The server's own cost (path_cost)</h2>{table(*path_table(content))}
<p><small>CPU time over an engine that only sleeps, beside the least that one Python process can
do.</small></p>
<h2>GPU tests</h2><p>{html.escape(tests_sentence(content))}</p>
<h2>Command</h2><pre>{html.escape(about["command"])}</pre>
<p><small>{html.escape(machine["system"])}, Python {machine["python"]}, {html.escape(versions)}
</small></p>
</body></html>
"""


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--report", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    arguments.out.write_text(page(json.loads(arguments.report.read_text())))


if __name__ == "__main__":
    main()
