"""The figures on a page, and what may be their source."""

import re
from dataclasses import dataclass
from pathlib import Path

from serving.settings import PREFIX, Settings

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"

_WORDS = {
    "one": 1.0, "two": 2.0, "three": 3.0, "four": 4.0, "five": 5.0, "six": 6.0,
    "seven": 7.0, "eight": 8.0, "nine": 9.0, "ten": 10.0, "eleven": 11.0, "twelve": 12.0,
}  # fmt: skip
_DIGITS = r"\d[\d,]*+(?:\.\d++)?+"
_NUMBER = rf"{_DIGITS}|{'|'.join(_WORDS)}"
# Time, rate, ratio and percent.
_UNIT = (
    r" ?%| (?:ms|µs|s|seconds?|minutes?|hours?|times|points?|core ms"
    r"|(?:texts|requests)(?:/s| a second| per second))\b"
)
_FIGURE = re.compile(rf"(?<![\w.,])(?:({_DIGITS}) (?:to|or|and) )?({_NUMBER})({_UNIT})")
_PLAIN = re.compile(rf"(?<![\w.,]){_DIGITS}(?!\w|{_UNIT})")
# Not the digits of a date, a commit, int8 or p99; "45 and 52 %" are two of one unit.
_ALONE = rf"(?<![\w.,#])(?<!\w-){_DIGITS}(?![\w-])"
_ANY = re.compile(_ALONE)
_MEASURED = re.compile(
    rf"((?:(?<![\w.,#])(?<!\w-){_DIGITS}(?:, | to | and | or | against ))*)"
    rf"(?<![\w.,#])(?<!\w-)({_NUMBER})({_UNIT}| ?/s\b)"
)
_UNIT_OF_CELLS = re.compile(r"(?<!\w)(?:%|ms|µs|s|minutes?|hours?|times|points?|\w*/s)(?!\w)")
_INTERVAL = re.compile(r"\([-+\d.,]+ to [-+\d.,]+\)|\[[-\d.]+, [-\d.]+\]")
_SECONDS = {"µs": 1e-6, "ms": 1e-3, "core ms": 1e-3, "s": 1.0, "minute": 60.0, "hour": 3600.0}
_LINK = re.compile(r"\]\(([^)]*development/(?:benchmarks|decisions)/\d{4}-[^)]+)\)")


@dataclass(frozen=True)
class Figure:
    """A number with a unit of time, rate or ratio, or a percentage."""

    number: str
    unit: str
    near: str
    """The paragraph, or of a table the row."""
    links: tuple[str, ...] = ()
    """Of prose, the link that follows."""

    @property
    def precision(self) -> int:
        """The significant digits; 0 of a word."""
        return len(re.sub(r"\D", "", self.number).lstrip("0"))

    def __str__(self) -> str:
        return f"{self.number} {self.unit}"

    def is_among(self, numbers: set[float]) -> bool:
        """Whether one of the numbers rounds to this figure, or is it where it has one digit.

        Many a number rounds to one digit.
        """
        value = _value(self.number)
        digits = len(self.number.partition(".")[2])
        half = 1e-9 + (0.5 * 10.0**-digits if self.precision > 1 else 0.0)
        return any(abs(each - value) <= half for each in numbers)


@dataclass(frozen=True)
class Block:
    """A paragraph, a list, a table or a fenced block, with all text of its section."""

    text: str
    section: str
    is_prose: bool

    @property
    def figures(self) -> list[Figure]:
        rows = [self.text] if self.is_prose else self.text.splitlines()
        return [
            Figure(number, found[3].strip(), row, _beside(found.end(), row))
            for row in (" ".join(each.split()) for each in rows)
            for found in _FIGURE.finditer(row)
            for number in found.group(1, 2)
            if number
        ]

    @property
    def links(self) -> list[str]:
        return _LINK.findall(self.text)

    def given(self, unit: str) -> set[float]:
        """The numbers of the section's code that have no unit, and the defaults that are named."""
        code = " ".join(re.findall(r"```.*?```|`[^`\n]+`", self.section, re.DOTALL))
        found = {_value(each) for each in _PLAIN.findall(code)}
        if unit == "%":
            found |= {100.0 * each for each in found if each <= 1.0}
        for name in re.findall(rf"\b{PREFIX}([A-Z_]+)\b", self.text):
            field = Settings.model_fields.get(name.lower())
            if field and isinstance(field.default, int | float):
                factor = _factor("ms", unit) if name.endswith("_MS") else 1.0
                found.add(field.default * factor)
        return found


def blocks(page: str) -> list[Block]:
    """Split a page at its blank lines, but not within fences, and leave its headings out."""
    found = []
    for section in re.split(r"^#+ .*\n", page, flags=re.MULTILINE):
        parts = re.split(r"(^```.*?^```$)|\n\s*\n", section, flags=re.MULTILINE | re.DOTALL)
        found += [
            Block(part, section, not part.lstrip().startswith(("|", "```")))
            for part in parts
            if part and part.strip()
        ]
    return found


def sections_near(page: Path, found: list[Block], at: int, figure: Figure) -> str:
    """The linked sections: a table or a fenced block may leave the link to the block around it."""
    near = found[max(0, at - 1) : at + 2]
    links = figure.links if found[at].is_prose else [link for each in near for link in each.links]
    return "\n\n".join(section(page, link) for link in links)


def _beside(at: int, text: str) -> tuple[str, ...]:
    """The next link after a figure; after the last one, that."""
    links = list(_LINK.finditer(text))
    after = [link[1] for link in links if link.end() > at]
    return tuple(after[:1] or [link[1] for link in links[-1:]])


def section(page: Path, link: str) -> str:
    """The text of a linked section, or of a linked page without an anchor."""
    path, _, anchor = link.partition("#")
    text = (page.parent / path).read_text()
    if not anchor:
        return text
    lines = text.splitlines()
    depth = {
        number: len(line) - len(line.lstrip("#"))
        for number, line in enumerate(lines)
        if re.match("#+ ", line)
    }
    first = next((number for number in depth if _anchor(lines[number]) == anchor), None)
    if first is None:
        raise ValueError(f"{path} has no section {anchor}")
    last = next((n for n in depth if n > first and depth[n] <= depth[first]), len(lines))
    return "\n".join(lines[first:last])


def numbers(text: str, figure: Figure) -> set[float]:
    """The numbers of a text that have the figure's unit, or another of time, in this one.

    The unit of a table's cell is its own, else that of its column, else that of its row. A number
    in a table or a fenced block with none of them may have any, and a fraction may be a percentage.
    Where the text around the figure names some rows of a table, only these count.
    """
    prose, found, fenced = [], set[float](), False
    table: list[list[str]] = []
    for line in [*re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", text).splitlines(), ""]:
        fenced ^= line.startswith("```")
        if line.lstrip().startswith("|"):
            table.append(line.strip().strip("|").split("|"))
            continue
        found |= _of_table(table, figure)
        table = []
        if fenced:
            found |= _of_cell(line, "", figure.unit)
        else:
            prose.append(line)
    return found | _with_unit(" ".join(prose), figure.unit)


def _of_table(table: list[list[str]], figure: Figure) -> set[float]:
    if not table:
        return set()
    header, *rows = table
    rows = [row for row in rows if _names(row[0], figure.near)] or rows
    found = _with_unit(" ".join(header), figure.unit)
    for row in rows:
        for name, cell in zip(header, row, strict=False):
            value = _INTERVAL.sub(" ", cell)
            found |= _of_cell(value, _unit_of(name) or _unit_of(row[0]), figure.unit)
    return found


def _names(cell: str, text: str) -> bool:
    """Whether a text has the first cell of a row, or a variant in it."""
    whole = re.sub(r"\(.*?\)", "", cell).strip()
    return any(
        re.search(rf"(?<![\w-]){re.escape(name)}(?![\w-])", text)
        for name in (whole, *re.findall(r"[a-z]+-[a-z]+\d*", cell))
        if re.fullmatch(r"[a-z][\w-]*", name)
    )


def _of_cell(cell: str, of_cell: str, unit: str) -> set[float]:
    """The numbers of a cell in this unit; those that have none of their own have the cell's."""
    found = _with_unit(cell, unit)
    bare = {_value(each) for each in _ANY.findall(_MEASURED.sub(" ", cell))}
    if not of_cell:
        shares = {100.0 * each for each in bare if each <= 1.0} if unit == "%" else set()
        return found | bare | shares
    factor = _factor(of_cell, unit)
    return found | ({each * factor for each in bare} if factor else set())


def _with_unit(text: str, unit: str) -> set[float]:
    return {
        _value(each) * factor
        for before, last, measured in _MEASURED.findall(text)
        if (factor := _factor(measured, unit))
        for each in (*_ANY.findall(before), last)
    }


def _unit_of(cell: str) -> str:
    units = _UNIT_OF_CELLS.findall(cell)
    return units[-1] if units else ""


def _factor(unit: str, into: str) -> float:
    """How many of one unit are one of the other; 0 if they measure different things."""
    one, other = _kind(unit), _kind(into)
    if one in _SECONDS and other in _SECONDS:
        return _SECONDS[one] / _SECONDS[other]
    return 1.0 if one == other else 0.0


def _kind(unit: str) -> str:
    unit = unit.strip()
    if unit.endswith(("/s", " a second", " per second")):
        return "/s"
    unit = {"points": "%", "point": "%"}.get(unit, unit)
    return {"seconds": "s", "second": "s"}.get(unit, unit if unit in _SECONDS else unit.rstrip("s"))


def _value(number: str) -> float:
    return _WORDS.get(number) or float(number.replace(",", ""))


def _anchor(heading: str) -> str:
    words = re.sub(r"[^\w\s-]", "", heading.lstrip("# ").lower())
    return re.sub(r"[\s-]+", "-", words.strip())
