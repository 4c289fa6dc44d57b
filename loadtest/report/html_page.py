"""The HTML page of a report: one file that needs no network."""

import html
import io
import re
from typing import Any

from matplotlib.figure import Figure

from loadtest.report.markdown import (
    BOUNDS,
    CASCADES,
    LOADS,
    VARIANTS,
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
_STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; margin: 0 auto; max-width: 72rem; padding: 1rem;
  color: #1c1c1c; background: #fff; }
h1 { font-size: 1.5rem; } h2 { font-size: 1.15rem; margin-top: 2rem; }
.headline { font-size: 1.15rem; border-left: 4px solid #1f6feb; padding: .5rem 1rem;
  background: #f2f6fc; }
.excluded { border-left: 4px solid #b35900; padding: .25rem 1rem; background: #fdf5ec; }
figure { margin: 0; overflow-x: auto; }
figure svg { width: 100%; height: auto; min-width: 36rem; max-width: 60rem; }
.wide { overflow-x: auto; } table { border-collapse: collapse; font-size: .8rem; }
th, td { padding: .25rem .5rem; border-bottom: 1px solid #ddd; text-align: left;
  white-space: nowrap; }
th { position: sticky; top: 0; background: #fff; }
pre { overflow-x: auto; background: #f3f3f3; padding: .5rem; } small { color: #555; }
"""
_SVG_METADATA = ("Creator", "Date", "Format", "Type")  # removed, because they hold addresses
_SVG_HEAD = re.compile(r"^.*?(?=<svg)", re.DOTALL)
_SVG_SIZE = re.compile(r'(<svg[^>]*?) width="[^"]*"| height="[^"]*pt"')


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
    laws = power_laws(report)
    figures = "\n".join(
        f"<h2>{_TITLES[name]}</h2>\n<figure>{_svg(figure, name)}</figure>"
        for name, figure in drawn.items()
    )
    return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<link rel="icon" href="data:,"><title>Sizewise load test</title><style>{_STYLE}</style></head><body>
<h1>Latency, throughput and accuracy against model size</h1>
<p class="headline">{html.escape(headline(report))}</p>
<p><small>{report["started_utc"]}, {html.escape(machine["cpu"])}, {machine["cores"]} cores.
Brackets are 95&nbsp;% confidence intervals over {report["scenario"]["rounds"]} rounds. Latency is
measured from the intended start of each request, so it includes waiting.
{BOUNDS}</small></p>
{figures}
<h2>Variants</h2>{_table(*variant_table(report))}
<p><small>{html.escape(VARIANTS.format(load=report["reference_load"]))}
{CASCADES}</small></p>
<h2>Excluded phases</h2><div class="excluded">{validity}</div>
<h2>Loads</h2>{_table(*load_table(report))}
<p><small>{LOADS}</small></p>
<h2>Time against size</h2>{html.escape(laws) if isinstance(laws, str) else _table(*laws)}
<h2>Command</h2><pre>{html.escape(report["command"])}</pre>
<p><small>{html.escape(machine["system"])}, Python {machine["python"]}, {html.escape(versions)}
</small></p>
</body></html>
"""


def _svg(figure: Figure, name: str) -> str:
    """Render an SVG element of the page's width, with ids that are unique among the plots."""
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", metadata=dict.fromkeys(_SVG_METADATA))
    svg = _SVG_HEAD.sub("", buffer.getvalue(), count=1)
    svg = _SVG_SIZE.sub(lambda found: found.group(1) or "", svg, count=2)
    svg = re.sub(r'\bid="', f'id="{name}-', svg)
    return re.sub(r'(href="#|url\(#)', rf"\g<1>{name}-", svg)


def _table(head: list[str], rows: list[list[str]]) -> str:
    def line(cells: list[str], tag: str) -> str:
        return "<tr>" + "".join(f"<{tag}>{html.escape(cell)}</{tag}>" for cell in cells) + "</tr>"

    body = "\n".join(line(row, "td") for row in rows)
    return f'<div class="wide"><table><thead>{line(head, "th")}</thead>\n{body}</table></div>'
