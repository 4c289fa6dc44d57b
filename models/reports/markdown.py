"""Pieces of a report as Markdown: an estimate with its interval, a paired comparison, a table."""

from collections.abc import Iterable, Sequence

from serving.bundles.evaluation import Estimate, Paired

_SIGNIFICANT = 0.05


def percent(estimate: Estimate, unit: str = " %") -> str:
    """Format a fraction with its interval, as `87.4 % (85.9 to 88.9)`."""
    value, low, high = (f"{100 * x:.1f}" for x in (estimate.value, estimate.low, estimate.high))
    return f"{value}{unit} ({low} to {high})"


def comparison(name: str, pair: Paired) -> str:
    """Say in a sentence how McNemar's test compares a variant with the variant `name`."""
    points = [100 * x for x in (pair.difference.value, pair.difference.low, pair.difference.high)]
    detail = (
        f"{points[0]:+.2f} points ({points[1]:+.2f} to {points[2]:+.2f}), p = {pair.p_value:.2g}; "
        f"{pair.better} texts only this variant gets right, {pair.worse} only {name}"
    )
    if pair.p_value >= _SIGNIFICANT:
        return f"No significant difference from {name}: {detail}."
    verdict = "Better" if pair.difference.value > 0 else "Worse"
    return f"{verdict} than {name}: {detail}."


def table(header: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Format a table; the first column is aligned left, the others right."""
    rule = ["---", *("--:" for _ in header[1:])]
    lines = [header, rule, *rows]
    return "".join("| " + " | ".join(str(cell) for cell in line) + " |\n" for line in lines)
