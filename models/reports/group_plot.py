"""Draws the largest gaps between groups, with their intervals."""

from collections.abc import Mapping
from pathlib import Path

import matplotlib as mpl
from matplotlib import pyplot as plt

from serving.bundles.group_report import GroupReport


def draw(family: str, found: Mapping[str, GroupReport], path: Path) -> None:
    """Write a PNG: a row for each column and figure, in it each variant's largest gap in points."""
    mpl.use("Agg")
    first = next(iter(found.values()))
    names = [
        f"{column.column}: {measure.measure.replace('_', ' ')}"
        + (f" of {measure.label}" if measure.label else "")
        for column in first.columns
        for measure in column.measures
    ]
    figure, axes = plt.subplots(figsize=(7.5, 1.6 + 0.22 * len(names) * (1 + len(found))))
    for number, (name, of) in enumerate(found.items()):
        gaps = [measure.gap for column in of.columns for measure in column.measures]
        known = [(at, gap) for at, gap in enumerate(gaps) if gap]
        middles = [100 * gap.value for _, gap in known]
        axes.errorbar(
            middles,
            [at + 0.7 * (number + 0.5) / len(found) - 0.35 for at, _ in known],
            xerr=[
                [100 * (gap.value - gap.low) for _, gap in known],
                [100 * (gap.high - gap.value) for _, gap in known],
            ],
            fmt="o", capsize=3, label=name,
        )  # fmt: skip
    axes.set_yticks(range(len(names)), names)
    axes.invert_yaxis()
    axes.set_xlim(left=0)
    axes.set_xlabel("largest gap between two groups, points, with 95 % intervals")
    axes.set_title(f"{family} by group")
    axes.legend()
    figure.tight_layout()
    figure.savefig(path, dpi=110)
    plt.close(figure)
