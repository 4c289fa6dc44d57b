"""Draws how much accuracy a family's variants lose on altered texts, as a heat map."""

from collections.abc import Mapping
from pathlib import Path

import matplotlib as mpl
import numpy as np
from matplotlib import pyplot as plt

from models.perturbations.kinds import in_words
from serving.bundles.evaluation import Robustness

_LEAST_SPAN = 5.0
_DARK = 0.6


def draw(family: str, found: Mapping[str, Robustness], path: Path) -> None:
    """Write a PNG: a row a condition, a column a variant, points of accuracy lost in each cell.

    A gap to the reference whose interval is above 0 is in bold.
    """
    mpl.use("Agg")
    first = next(iter(found.values()))
    lost = np.array(
        [
            [100 * (of.accuracy.value - of.conditions[at].accuracy.value) for of in found.values()]
            for at in range(len(first.conditions))
        ]
    )
    figure, axes = plt.subplots(figsize=(4.5 + 1.1 * len(found), 1.8 + 0.28 * len(lost)))
    span = max(_LEAST_SPAN, float(np.abs(lost).max()))
    axes.imshow(lost, cmap="RdBu_r", vmin=-span, vmax=span, aspect="auto")
    for column, of in enumerate(found.values()):
        for row, each in enumerate(of.conditions):
            value = lost[row, column]
            axes.text(
                column, row, f"{value:.1f}", ha="center", va="center", fontsize=8,
                weight="bold" if each.gap and each.gap.low > 0 else "normal",
                color="white" if abs(value) > _DARK * span else "black",
            )  # fmt: skip
    axes.set_xticks(range(len(found)), list(found), rotation=30, ha="right")
    names = [f"{each.kind}, {in_words(each.kind, each.strength)}" for each in first.conditions]
    axes.set_yticks(range(len(names)), names)
    axes.set_title(f"{family}: points of accuracy lost\n(bold: more than {first.reference}, shown)")
    figure.tight_layout()
    figure.savefig(path, dpi=110)
    plt.close(figure)
