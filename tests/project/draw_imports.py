"""Draw the packages and the imports between them, as measured from the code.

python -m tests.project.draw_imports OUTPUT.svg

Importers stand above what they import, so every arrow points down. Where packages import each
other in a circle there is no such order: the program names the circle and exits with 1.
"""

import ast
import sys
import textwrap
from dataclasses import dataclass
from html import escape
from itertools import groupby
from pathlib import Path

from tests.project.imports import PROGRAMS, SOURCES, Graph, circle, package_graph

WIDTH, MARGIN = 900, 28
BOX_RIGHT, LANE = 616, 15
TITLE, GAP, PADDING, LINE = 58, 14, 9, 18
TEXT_COLUMNS = 84
CAPTION = "A package imports those its line leads down to."

STYLE = """
  svg { --paper: #ffffff; --ink: #1f2430; --soft: #5b6474; --box: #f4f6fb; --edge: #c9d0de }
  .serving { --tone: #3453b4 } .models { --tone: #a04a00 } .loadtest { --tone: #1d7355 }
  @media (prefers-color-scheme: dark) {
    svg { --paper: #171a21; --ink: #e6e9f0; --soft: #a7afbf; --box: #212631; --edge: #3d4556 }
    .serving { --tone: #8ea8ff } .models { --tone: #f0a35e } .loadtest { --tone: #62c9a1 }
  }
  text { font: 13px system-ui, sans-serif; fill: var(--soft) }
  .paper { fill: var(--paper) }
  .box { fill: var(--box); stroke: var(--edge) }
  .name { font-weight: 600; font-size: 14px; fill: var(--tone) }
  .title { font-weight: 600; font-size: 18px; fill: var(--tone) }
  .line { fill: none; stroke: var(--tone); stroke-width: 1.4 }
  .dot, .head { fill: var(--tone) }
"""


class NoOrder(Exception):
    """Packages import each other in a circle."""


@dataclass
class Row:
    """A package's place: its box, the line on which imports arrive, and the lane of its own."""

    package: str
    text: list[str]
    top: float
    lane: int = 0

    @property
    def height(self) -> int:
        return 2 * PADDING + LINE * (1 + len(self.text))

    @property
    def leaves_y(self) -> float:
        return self.top + self.height - 13

    @property
    def arrives_y(self) -> float:
        return self.top + 15

    @property
    def lane_x(self) -> float:
        return BOX_RIGHT + 18 + LANE * self.lane

    @property
    def program(self) -> str:
        return self.package.partition(".")[0]


def levels(graph: Graph) -> dict[str, int]:
    """The longest way down from each package."""
    if around := circle(graph):
        raise NoOrder(f"packages import each other in a circle: {' -> '.join(around)}")
    found: dict[str, int] = {}

    def level(package: str) -> int:
        if package not in found:
            found[package] = 1 + max(map(level, graph[package]), default=-1)
        return found[package]

    for package in graph:
        level(package)
    return found


def in_order(graph: Graph) -> list[str]:
    """Packages, importers first, and those of a program together."""
    programs = {
        program: {
            imported.partition(".")[0]
            for package in graph
            if package.partition(".")[0] == program
            for imported in graph[package]
        }
        - {program}
        for program in PROGRAMS
    }
    height, program_height = levels(graph), levels(programs)
    return sorted(
        graph,
        key=lambda package: (
            -program_height[package.partition(".")[0]],
            package.partition(".")[0],
            -height[package],
            package,
        ),
    )


def described(package: str) -> list[str]:
    """The first sentence of the package's docstring, without its name, in lines."""
    docstring = ast.get_docstring(ast.parse(SOURCES[package].read_text())) or ""
    first = docstring.partition("\n\n")[0].replace("\n", " ")
    name, colon, rest = first.partition(": ")
    said = rest if colon and len(name.split()) <= 2 else first
    return textwrap.wrap(said.replace("`", "").removesuffix("."), TEXT_COLUMNS)


def laid_out(graph: Graph) -> tuple[list[Row], float]:
    """A row for each package, importers above what they import, and the height of the page."""
    order = in_order(graph)
    rows, y = [], 0.0
    for _, packages in groupby(order, key=lambda package: package.partition(".")[0]):
        y += TITLE
        for package in packages:
            rows.append(Row(package, described(package), y))
            y += rows[-1].height + GAP
    place = {row.package: index for index, row in enumerate(rows)}
    for index in reversed(range(len(rows))):
        # Outside the lanes of all that lie between it and the lowest that it imports.
        below = [place[imported] for imported in graph[rows[index].package]]
        between = rows[index + 1 : max(below, default=index) + 1]
        rows[index].lane = 1 + max((row.lane for row in between), default=-1)
    return rows, y + MARGIN


def drawn_box(row: Row) -> str:
    x, y = MARGIN + 12, row.top + PADDING + 14
    lines = "".join(
        f'<text x="{x}" y="{y + LINE * number}">{escape(line)}</text>'
        for number, line in enumerate(row.text, 1)
    )
    return (
        f'<g class="{row.program}"><rect class="box" x="{MARGIN}" y="{row.top}" rx="6" '
        f'width="{BOX_RIGHT - MARGIN}" height="{row.height}"/>'
        f'<text class="name" x="{x}" y="{y}">{row.package.replace(".", "/")}</text>{lines}</g>'
    )


def drawn_imports(row: Row, imported: list[Row]) -> str:
    """A line out of the box and down its lane, and an arrow from there to each import."""
    if not imported:
        return ""
    assert all(other.top > row.top for other in imported), f"{row.package} imports upwards"
    x = row.lane_x
    lowest = max(other.arrives_y for other in imported)
    parts = [f'<path class="line" d="M{BOX_RIGHT} {row.leaves_y}H{x}V{lowest}"/>']
    for other in imported:
        y = other.arrives_y
        parts.append(
            f'<path class="line" d="M{x} {y}H{BOX_RIGHT + 8}"/>'
            f'<circle class="dot" cx="{x}" cy="{y}" r="3"/>'
            f'<path class="head" d="M{BOX_RIGHT + 1} {y}l9 -4.5v9z"/>'
        )
    return f'<g class="{row.program}">{"".join(parts)}</g>'


def drawing(graph: Graph) -> str:
    """The SVG, readable on light and on dark paper."""
    rows, height = laid_out(graph)
    named = {row.package: row for row in rows}
    titles = [
        f'<text class="title {program}" x="{MARGIN}" y="{next(group).top - 14}">{program}</text>'
        for program, group in groupby(rows, key=lambda row: row.program)
    ]
    lines = [
        drawn_imports(row, [named[name] for name in sorted(graph[row.package])]) for row in rows
    ]
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img">',
            "<title>Packages and the imports between them: every arrow points down</title>",
            f"<style>{STYLE}</style>",
            '<rect class="paper" width="100%" height="100%" rx="8"/>',
            f'<text x="{WIDTH - MARGIN}" y="34" text-anchor="end">{CAPTION}</text>',
            *titles,
            *filter(None, lines),
            *map(drawn_box, rows),
            "</svg>\n",
        ]
    )


def main(arguments: list[str]) -> int:
    if len(arguments) != 1:
        print("usage: python -m tests.project.draw_imports OUTPUT.svg", file=sys.stderr)
        return 2
    try:
        picture = drawing(package_graph())
    except NoOrder as error:
        print(error, file=sys.stderr)
        return 1
    Path(arguments[0]).write_text(picture)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
