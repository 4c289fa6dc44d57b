"""Reports decisions in words and as a picture: thresholds, rates with intervals, and the curves."""

import math
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from models.decisions.observations import Observations
from models.decisions.options import DecideOptions
from models.decisions.thresholds import TooFewTexts
from models.reports.markdown import percent, table
from serving.bundles.decisions import Decided, Decisions

PICTURE_NAME = "decisions.png"
_MOST_HELD_OUT = 0.5
_HEADER = (
    "answers of", "label", "threshold", "false-positive rate, %", "recall, %",
    "flagged at calibration, %", "risk, %",
)  # fmt: skip


def summary(decisions: Decisions, found: Observations) -> str:
    """Write the report that the command prints."""
    chosen, judged = (len(each.texts) for each in found.texts)
    targets = "\n".join(
        f"- {target.words}, chosen by {its.n:,} texts {_about(target.min_recall)} the label"
        for target, its in zip(decisions.targets, decisions.deciders[0].labels, strict=True)
    )
    rows = [
        (
            each.name,
            its.label,
            f"{its.threshold:.4f}",
            percent(its.false_positive_rate, unit=""),
            percent(its.recall, unit=""),
            percent(its.flagged, unit=""),
            f"{100 * its.risk:.2f}",
        )
        for each in decisions.deciders
        for its in each.labels
    ]
    together = " all at once" if len(decisions.targets) > 1 else ""
    return f"""{decisions.family}: with {decisions.confidence:.0%} confidence, for each row of \
answers by itself{together}:

{targets}

{table(_HEADER, rows)}
Thresholds were chosen by {chosen:,} texts. Both rates were measured on {judged:,} others, with \
95 % intervals: the one that is limited may exceed its limit there by chance. Risk is the \
probability that the limit is missed, over the draw of the texts that chose.
{_long(found)}
{_one_sided(found)}{_caveat(found)}"""


def _long(found: Observations) -> str:
    chosen, judged = found.long
    how = "answered in windows" if found.windows else "truncated"
    other = "truncated" if found.windows else "answered in windows"
    return (
        f"Of those that chose {chosen:,}, and of the others {judged:,}, are longer than a variant "
        f"reads: they were {how}. A server decides no long text that is {other}."
    )


def _one_sided(found: Observations) -> str:
    if not found.cascade or not (variants := found.cascade.one_sided):
        return ""
    return (
        f"In the cascade, a text that {' or '.join(sorted(variants))} ends is flagged for the "
        "labels of that answer and for no other, whatever its scores; the thresholds are for all "
        "others.\n"
    )


def _caveat(found: Observations) -> str:
    if not found.same_texts:
        return ""
    return (
        "These texts have tested the cascade before, so its thresholds here are not independent of "
        "it: --resplit shows how often they miss, and new labelled texts, given with "
        "--recalibrate, are independent.\n"
    )


def refusal(error: TooFewTexts, options: DecideOptions, found: Observations) -> str:
    """Explain why a target cannot be shown, and how many texts it would take."""
    target = error.target
    share = f" beside {len(options.targets) - 1} more" if len(options.targets) > 1 else ""
    option = "max-false-positive-rate" if target.min_recall is None else "min-recall"
    change = "raise" if target.min_recall is None else "lower"
    return (
        f"{target.words}: {error.n:,} texts {_about(target.min_recall)} the label cannot show it "
        f"at {options.confidence:.0%}{share}: even without an error it takes {error.needed:,}: "
        f"{_more(error, found)}, or {change} --{option}"
    )


def _more(error: TooFewTexts, found: Observations) -> str:
    if found.held_out is None:
        return "give more of them with --recalibrate, half of which choose"
    recipe, share = found.held_out
    key = f"`calibration_share` in [data] of {recipe}.toml is {share:.2f} now"
    needed = share * error.needed / max(1, error.n)
    if needed > _MOST_HELD_OUT:
        return f"{key}, and no share would do: label more of them"
    return f"{key}, and has to be {math.ceil(100 * needed) / 100:.2f}"


def _about(min_recall: float | None) -> str:
    return "without" if min_recall is None else "with"


def draw(decisions: Decisions, path: Path) -> None:
    """Write the picture as a PNG."""
    picture(decisions).savefig(path, dpi=110)


def picture(decisions: Decisions) -> Figure:
    """Draw both rates against the threshold, a row for each label and a column for each decider."""
    rows, columns = len(decisions.targets), len(decisions.deciders)
    figure = Figure(figsize=(1 + 3.6 * columns, 0.6 + 2.8 * rows), layout="constrained")
    grid = figure.subplots(rows, columns, squeeze=False, sharex="row", sharey=True)
    for column, each in enumerate(decisions.deciders):
        for row, (target, its) in enumerate(zip(decisions.targets, each.labels, strict=True)):
            axes = grid[row][column]
            _curve(axes, its)
            axes.set_title(f"{each.name}: {its.label}", fontsize=9)
            limit = target.min_recall or target.max_false_positive_rate
            axes.axhline(100 * (limit or 0.0), color="0.5", linestyle=":", linewidth=0.9)
            axes.set_xlabel("threshold")
            axes.grid(visible=True, alpha=0.3)
    grid[0][0].legend(frameon=False, fontsize=8)
    for line in grid:
        line[0].set_ylabel("share flagged, %")
    return figure


def _curve(axes: Axes, its: Decided) -> None:
    at = [point.threshold for point in its.curve]
    for kind, name, colour in (
        ("recall", "with the label (recall)", "C0"),
        ("false_positive_rate", "without it (false positives)", "C3"),
    ):
        rates = [getattr(point, kind) for point in its.curve]
        low, value, high = ([100 * getattr(r, e) for r in rates] for e in ("low", "value", "high"))
        axes.plot(at, value, color=colour, label=name)
        axes.fill_between(at, low, high, color=colour, alpha=0.2)
    axes.axvline(its.threshold, color="0.2", linewidth=1)
