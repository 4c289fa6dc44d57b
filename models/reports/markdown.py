"""Pieces of a report as Markdown: an estimate with its interval, a paired comparison, a table."""

import re
from collections.abc import Iterable, Sequence

from models.evaluation.noninferiority import largest_loss, p_value
from serving.bundles.evaluation import Estimate, Paired

UNDEFINED = "-"
_SIGNIFICANT = 0.05
_MARGIN = 0.01
# What Markdown may take for markup; an underscore inside a word is none.
_MARKUP = re.compile(r"[\\`*\[\]<>&|~$]|(?<![^\W_])_|_(?![^\W_])")


def percent(estimate: Estimate | None, unit: str = " %") -> str:
    """Format a fraction with its interval, as `87.4 % (85.9 to 88.9)`; None is undefined."""
    if estimate is None:
        return UNDEFINED
    value, low, high = (f"{100 * x:z.1f}" for x in (estimate.value, estimate.low, estimate.high))
    return f"{value}{unit} ({low} to {high})"


def escaped(text: str) -> str:
    """Return Markdown that shows `text` as it is, also in a table."""
    return _MARKUP.sub(lambda found: f"&#{ord(found[0])};", " ".join(text.split()))


def comparison(name: str, pair: Paired, texts: int, margin: float = _MARGIN) -> str:
    """Say in two sentences how a variant compares with the variant `name` on the same `texts`.

    McNemar's test asks whether they differ, the non-inferiority test whether the loss of accuracy
    is shown to be within `margin`.
    """
    points = [100 * x for x in (pair.difference.value, pair.difference.low, pair.difference.high)]
    detail = (
        f"{points[0]:+.2f} points ({points[1]:+.2f} to {points[2]:+.2f}), p = {pair.p_value:.2g}; "
        f"{pair.better} texts only this variant gets right, {pair.worse} only {name}"
    )
    verdict = "Better than" if pair.difference.value > 0 else "Worse than"
    if pair.p_value >= _SIGNIFICANT:
        verdict = "No significant difference from"
    return f"{verdict} {name}: {detail}. {_within(pair, texts, margin)}."


def _within(pair: Paired, texts: int, margin: float) -> str:
    counts = (pair.better, pair.worse, texts)
    chance = p_value(*counts, margin)
    shown = "is shown" if chance <= _SIGNIFICANT else "is not shown"
    most = f"at most {100 * largest_loss(*counts):.2f} at 95 %, p = {chance:.2g}"
    return f"A loss of less than {100 * margin:g} % of the texts {shown} ({most})"


def table(header: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Format a table; the first column is aligned left, the others right."""
    rule = ["---", *("--:" for _ in header[1:])]
    lines = [header, rule, *rows]
    return "".join("| " + " | ".join(str(cell) for cell in line) + " |\n" for line in lines)
