"""Plots by how much a family's explanations beat random orders of the words."""

from collections.abc import Mapping
from pathlib import Path

import matplotlib as mpl
import numpy as np
from matplotlib import pyplot as plt

from serving.bundles.evaluation import Estimate

_OFFSET = 0.12


def draw(title: str, advantages: Mapping[str, tuple[Estimate, Estimate]], path: Path) -> None:
    """Write a PNG; `advantages` has each variant's at deletion and at insertion."""
    mpl.use("Agg")
    figure, axes = plt.subplots(figsize=(9, 1.6 + 0.5 * len(advantages)))
    places = np.arange(len(advantages))
    for index, name in enumerate(("deletion", "insertion")):
        found = [each[index] for each in advantages.values()]
        errors = [[e.value - e.low for e in found], [e.high - e.value for e in found]]
        heights = places + (2 * index - 1) * _OFFSET
        axes.errorbar([e.value for e in found], heights, xerr=errors, fmt="o", label=name)
    axes.set_yticks(places, list(advantages))
    axes.invert_yaxis()
    axes.axvline(0, color="grey", linewidth=0.8)
    axes.set_xlabel("area gained over a random order of the words, with 95 % intervals")
    axes.set_title(title)
    axes.legend(frameon=False, loc="upper left", bbox_to_anchor=(1, 1))
    figure.tight_layout()
    figure.savefig(path, dpi=110)
    plt.close(figure)
