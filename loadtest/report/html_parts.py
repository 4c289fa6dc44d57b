"""The parts of an HTML page that needs no network: its style, plots as SVG, and tables."""

import html
import io
import re

from matplotlib.figure import Figure

STYLE = """
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


def svg(figure: Figure, name: str) -> str:
    """Render an SVG element of the page's width, with ids that are unique among the plots."""
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", metadata=dict.fromkeys(_SVG_METADATA))
    drawn = _SVG_HEAD.sub("", buffer.getvalue(), count=1)
    drawn = _SVG_SIZE.sub(lambda found: found.group(1) or "", drawn, count=2)
    drawn = re.sub(r'\bid="', f'id="{name}-', drawn)
    return re.sub(r'(href="#|url\(#)', rf"\g<1>{name}-", drawn)


def table(head: list[str], rows: list[list[str]]) -> str:
    """Render a table that scrolls by itself where the page is narrow."""

    def line(cells: list[str], tag: str) -> str:
        return "<tr>" + "".join(f"<{tag}>{html.escape(cell)}</{tag}>" for cell in cells) + "</tr>"

    body = "\n".join(line(row, "td") for row in rows)
    return f'<div class="wide"><table><thead>{line(head, "th")}</thead>\n{body}</table></div>'
