"""The comparison of two reports as a table and one sentence."""

from collections import Counter
from collections.abc import Sequence

from loadtest.analysis.compare import SESSION_NOISE, Change
from loadtest.report.text_table import table

_SEPARATE = (
    f"The two runs are one session each, so every change is weighed against {SESSION_NOISE:.0%} of "
    "noise between sessions, and more near saturation. `alternate` measures both in turn, and sees "
    "smaller changes."
)
_UNKNOWN = (
    "unknown: too few valid rounds in one of the runs, or other rates: measure the second with "
    "--rates-of FIRST."
)
_LOST = (
    "worse or better without a p: a load that one server keeps up with and answers, and the other "
    "does not."
)
_NO_FIGURE = "none (not kept up with, or too much unanswered)"


def comparison_text(changes: Sequence[Change], alternated: bool) -> str:
    """Tabulate the changes, and count them by verdict."""
    counted = changes_sentence(changes)
    return "\n".join(
        [table(*comparison_table(changes)), "", counted, *comparison_notes(changes, alternated)]
    )


def comparison_notes(changes: Sequence[Change], alternated: bool) -> list[str]:
    """Say how the changes were judged."""
    notes = [] if alternated else [_SEPARATE]
    lost = any(each.p_value is None and each.verdict in {"worse", "better"} for each in changes)
    notes += [_LOST] if lost else []
    return notes + ([_UNKNOWN] if any(each.verdict == "unknown" for each in changes) else [])


def comparison_table(changes: Sequence[Change]) -> tuple[list[str], list[list[str]]]:
    """Return the head and one row per figure."""
    head = ["variant", "load", "figure", "before", "after", "ratio", "p (Holm)", "verdict"]
    rows = [
        [
            change.variant,
            change.load,
            change.figure,
            *(_number(each, 3 if change.figure == "accuracy" else 1)
              for each in (change.before, change.after)),
            _number(change.ratio, 3),
            _number(change.p_value, 3),
            change.verdict,
        ]
        for change in changes
    ]  # fmt: skip
    return head, rows


def changes_sentence(changes: Sequence[Change]) -> str:
    """Count the changes by verdict."""
    counts = Counter(change.verdict for change in changes)
    parts = [f"{counts['worse']} worse, {counts['better']} better"]
    parts += [f"{counts[name]} {name}" for name in ("missing", "new", "unknown") if counts[name]]
    return f"{', '.join(parts)}, {counts['none']} unchanged beyond noise"


def change_text(change: Change) -> str:
    """Say one change in a line."""
    where = f"{change.variant}{change.load and f' under {change.load}'}"
    digits = 3 if change.figure == "accuracy" else 1
    before, after = (
        _NO_FIGURE if each is None else _number(each, digits)
        for each in (change.before, change.after)
    )
    return f"{change.verdict.capitalize()}: {change.figure} of {where}, from {before} to {after}"


def _number(value: float | None, digits: int) -> str:
    return "" if value is None else f"{value:.{digits}f}"
