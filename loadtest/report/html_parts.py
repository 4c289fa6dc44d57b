"""The parts of an HTML page that needs no network: its style, plots as SVG, and tables."""

import html
import io
import re
from pathlib import Path

from matplotlib.figure import Figure

STYLE = Path(__file__).with_name("page.css").read_text()
_SVG_METADATA = ("Creator", "Date", "Format", "Type")  # removed, because they hold addresses
_SVG_HEAD = re.compile(r"^.*?(?=<svg)", re.DOTALL)
_CODE = re.compile("`([^`]+)`")
_INTERVAL = re.compile(r" (\[[^\]]*\])$")
_SVG_SIZE = re.compile(r'(<svg[^>]*?) width="[^"]*"| height="[^"]*pt"')


def svg(figure: Figure, name: str) -> str:
    """Render an SVG element of the page's width, with ids that are unique among the plots."""
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", metadata=dict.fromkeys(_SVG_METADATA))
    drawn = _SVG_HEAD.sub("", buffer.getvalue(), count=1)
    drawn = _SVG_SIZE.sub(lambda found: found.group(1) or "", drawn, count=2)
    drawn = re.sub(r'\bid="', f'id="{name}-', drawn)
    return re.sub(r'(href="#|url\(#)', rf"\g<1>{name}-", drawn)


def prose(text: str) -> str:
    """Escape a text in which backticks enclose code."""
    return _CODE.sub(r"<code>\1</code>", html.escape(text))


def table(head: list[str], rows: list[list[str]], name: str | None = None) -> str:
    """Render a table that scrolls by itself where it is wider or longer than the window.

    With a name, it can be reached and found with the keyboard.
    """
    region = f' tabindex="0" role="region" aria-label="{html.escape(name)}"' if name else ""
    return (
        f'<div class="wide"{region}><table><thead>{_row(head, "th")}</thead>\n<tbody>'
        + "\n".join(_row(row, "td") for row in rows)
        + "</tbody></table></div>"
    )


def _row(cells: list[str], tag: str) -> str:
    escaped = (_INTERVAL.sub(r' <span class="interval">\1</span>', html.escape(c)) for c in cells)
    return "<tr>" + "".join(f"<{tag}>{cell}</{tag}>" for cell in escaped) + "</tr>"
