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
_ANY = re.compile(rf"(?<![\d.,]){_DIGITS}")
_A_THOUSAND_TIMES = {"ms": "µs", "s": "ms", "seconds": "ms"}
_LINK = re.compile(r"\]\(([^)]*development/(?:benchmarks|decisions)/\d{4}-[^)]+)\)")


@dataclass(frozen=True)
class Figure:
    """A number with a unit of time, rate or ratio, or a percentage."""

    number: str
    unit: str

    def __str__(self) -> str:
        return f"{self.number} {self.unit}"

    def is_among(self, numbers: set[float]) -> bool:
        """Whether one of the numbers rounds to this figure; a share may be a percentage."""
        value = _value(self.number)
        digits = len(self.number.partition(".")[2])
        half = 0.5 * 10.0**-digits + 1e-9
        scales = (1.0, 100.0) if self.unit == "%" else (1.0,)
        return any(abs(each * scale - value) <= half for each in numbers for scale in scales)


@dataclass(frozen=True)
class Block:
    """A paragraph, a list, a table or a fenced block, with all text of its section."""

    text: str
    section: str
    is_prose: bool

    @property
    def figures(self) -> list[Figure]:
        return [
            Figure(number, unit.strip())
            for first, second, unit in _FIGURE.findall(" ".join(self.text.split()))
            for number in (first, second)
            if number
        ]

    @property
    def links(self) -> list[str]:
        return _LINK.findall(self.text)

    def given(self, unit: str) -> set[float]:
        """The numbers of the section's code that have no unit, and the defaults that are named."""
        code = " ".join(re.findall(r"```.*?```|`[^`\n]+`", self.section, re.DOTALL))
        found = {_value(each) for each in _PLAIN.findall(code)}
        for name in re.findall(rf"\b{PREFIX}([A-Z_]+)\b", self.text):
            field = Settings.model_fields.get(name.lower())
            if field and isinstance(field.default, int | float):
                found.add(field.default / _factor(unit, "ms" if name.endswith("_MS") else unit))
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


def sections_near(page: Path, found: list[Block], at: int) -> str:
    """The linked sections: a table or a fenced block may leave the link to the block around it."""
    near = [found[at]] if found[at].is_prose else found[max(0, at - 1) : at + 2]
    return "\n".join([section(page, link) for block in near for link in block.links])


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


def numbers(text: str, unit: str) -> set[float]:
    """All numbers of a text, and those with another unit of time in this one."""
    finer = _A_THOUSAND_TIMES.get(unit)
    found = {_value(each) for each in _ANY.findall(text)}
    return found | {each / 1e3 for each in found} if finer and finer in text else found


def _factor(unit: str, of: str) -> float:
    return 1e3 if _A_THOUSAND_TIMES.get(unit) == of else 1.0


def _value(number: str) -> float:
    return _WORDS.get(number) or float(number.replace(",", ""))


def _anchor(heading: str) -> str:
    words = re.sub(r"[^\w\s-]", "", heading.lstrip("# ").lower())
    return re.sub(r"[\s-]+", "-", words.strip())
