"""What is live, as a report: Markdown, JSON and a picture."""

import json
from collections.abc import Sequence
from pathlib import Path

import matplotlib as mpl
import numpy as np
from matplotlib import pyplot as plt
from matplotlib.axes import Axes

from models.monitoring.figures import LabelShare, LiveAccuracy
from models.reports.markdown import UNDEFINED, escaped, percent, table
from serving.bundles.evaluation import Estimate
from serving.bundles.files import Count, Frozen

_MOST_BARS = 20
_REPORT = """# {family}, live

{texts:,} logged texts, feedback on {feedback:,} answers.

## Accuracy by feedback, %

{accuracies}
Feedback is a biased sample: it comes from those who cared to give it, mostly on errors. Compare
variants that answer the same traffic by it; the accuracy itself needs labels of texts that were
drawn at random.

## How often each label is predicted, %

{shares}
{drift}

## Worth labelling

{candidates:,} different texts have no feedback; variants disagree on {disputed:,} of them.
"""


class Live(Frozen):
    """What the text log says of a family."""

    family: str
    reference: str
    """The variant with whose test split label shares are compared."""
    texts: Count
    feedback: Count
    accuracies: list[LiveAccuracy]
    labels: list[LabelShare]
    candidates: Count
    """Different texts without feedback."""
    disputed: Count
    """Those on which variants disagree."""

    @property
    def drifted(self) -> list[str]:
        """The labels that are predicted more or less often than on the test split."""
        return [each.label for each in self.labels if each.has_drifted]


def markdown(of: Live) -> str:
    """Return the report."""
    accuracies = [
        (escaped(each.variant), each.version, f"{each.n:,}", percent(each.accuracy, ""),
         percent(each.measured, ""), "lower" if each.is_lower else "")
        for each in of.accuracies
    ]  # fmt: skip
    shares = [
        (escaped(each.label), percent(each.measured, ""), percent(each.live, ""),
         "drifted" if each.has_drifted else "")
        for each in of.labels
    ]  # fmt: skip
    return _REPORT.format(
        family=of.family,
        texts=of.texts,
        feedback=of.feedback,
        accuracies=table(("variant", "version", "answers", "live", "test split", ""), accuracies)
        if accuracies
        else "There is no feedback.\n",
        shares=table(("label", f"{of.reference}, test split", "live", ""), shares)
        if shares
        else f"{UNDEFINED}\n",
        drift=drift(of),
        candidates=of.candidates,
        disputed=of.disputed,
    )


def drift(of: Live) -> str:
    """Say in a sentence which labels have drifted."""
    if not of.labels:
        return "Label shares cannot be compared: no text is logged, or the manifest has no scores."
    if not of.drifted:
        return "No label is shown to have drifted."
    return f"Drifted: {', '.join(map(escaped, of.drifted))}."


def as_json(of: Live) -> str:
    """Return all figures."""
    return json.dumps(of.model_dump() | {"drifted": of.drifted}, indent=2, ensure_ascii=False)


def draw(of: Live, path: Path) -> None:
    """Write a PNG: live accuracy and label shares with their intervals, beside the test split's."""
    mpl.use("Agg")
    rows = max(len(of.accuracies), min(_MOST_BARS, len(of.labels)), 2)
    size = (11, 1.8 + 0.5 * rows)
    figure, (left, right) = plt.subplots(1, 2, figsize=size, layout="constrained")
    _intervals(
        left,
        [f"{each.variant}\n{each.version[:8]}" for each in of.accuracies],
        [each.accuracy for each in of.accuracies],
        [each.measured for each in of.accuracies],
    )
    left.set_title(f"{of.family}: accuracy by feedback, %")
    labels = sorted(of.labels, key=lambda each: -abs(each.live.value - each.measured.value))
    shown = labels[:_MOST_BARS]
    _intervals(
        right,
        [each.label[:30] for each in shown],
        [each.live for each in shown],
        [each.measured for each in shown],
    )
    right.set_title("texts given each label, %")
    figure.legend(*left.get_legend_handles_labels(), loc="outside lower center", ncols=2)
    figure.savefig(path, dpi=110)
    plt.close(figure)


def _intervals(
    axes: Axes, names: Sequence[str], live: Sequence[Estimate], before: Sequence[Estimate | None]
) -> None:
    at = np.arange(len(names), dtype=float)
    measured = [(place, each) for place, each in zip(at, before, strict=True) if each]
    for label, color, places, estimates in (
        ("live", "tab:orange", at - 0.12, list(live)),
        ("test split", "tab:blue", [p + 0.12 for p, _ in measured], [e for _, e in measured]),
    ):
        values = np.array([100 * each.value for each in estimates])
        ends = np.array([[100 * each.low, 100 * each.high] for each in estimates]).reshape(-1, 2)
        errors = np.abs(ends.T - values)
        axes.errorbar(
            values, list(places), xerr=errors, fmt="o", color=color, label=label, capsize=3
        )
    axes.set_yticks(at, names)
    axes.set_xlim(-2, 102)
    axes.set_ylim(len(names) - 0.4, -0.6)
    axes.grid(axis="x", alpha=0.3)
