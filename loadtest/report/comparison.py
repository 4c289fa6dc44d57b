"""The comparison of two reports as a table and one sentence."""

from collections import Counter
from collections.abc import Sequence

from loadtest.analysis.compare import SESSION_NOISE, Change
from loadtest.report.markdown import table

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


def comparison_text(changes: Sequence[Change], alternated: bool) -> str:
    """Tabulate the changes, and count them by verdict."""
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
    counts = Counter(change.verdict for change in changes)
    parts = [f"{counts['worse']} worse, {counts['better']} better"]
    parts += [f"{counts[name]} {name}" for name in ("missing", "new", "unknown") if counts[name]]
    lines = [table(head, rows), f"{', '.join(parts)}, {counts['none']} unchanged beyond noise"]
    lines += [] if alternated else [_SEPARATE]
    lost = any(each.p_value is None and each.verdict in {"worse", "better"} for each in changes)
    lines += [_LOST] if lost else []
    lines += [_UNKNOWN] if counts["unknown"] else []
    return "\n".join(lines)


def _number(value: float | None, digits: int) -> str:
    return "" if value is None else f"{value:.{digits}f}"
