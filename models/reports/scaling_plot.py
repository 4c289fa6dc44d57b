"""Plots a family's error and loss against parameters and bytes, with the fitted power laws."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import matplotlib as mpl
import numpy as np
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from scipy import optimize

from models.reports.axes import scale_sizes
from models.reports.power_law import Fit, Floats, Point

_CURVE_POINTS = 200
_MARKER_GAP = 0.012
_NAME_GAP = 0.034
_MARGIN = 1.15
_COLOURS = {"fp32": "C0", "fp16": "C2", "bf16": "C5", "int8": "C1", "int4": "C3"}


@dataclass(frozen=True)
class Panel:
    """One plot: the names of its axes, a point for each variant, and the curve, if there is one."""

    size: str
    value: str
    points: Sequence[Point]
    fit: Fit | None


def draw(title: str, variants: Mapping[str, str], panels: Sequence[Panel], path: Path) -> None:
    """Write a PNG of the panels, two a row.

    `variants` maps each name to its precision, in the order of the panels' points.
    """
    mpl.use("Agg")
    rows = len(panels) // 2
    figure, grid = plt.subplots(rows, 2, figsize=(15, 1 + 5 * rows), sharey="row")
    for axes, panel in zip(grid.flat, panels, strict=True):
        _draw_panel(axes, panel, variants)
    handles = [
        Line2D([], [], marker="o", linestyle="", color=_COLOURS[precision], label=precision)
        for precision in _COLOURS
        if precision in variants.values()
    ]
    figure.suptitle(title)
    figure.legend(handles=handles, loc="lower center", ncols=len(handles), frameon=False)
    figure.tight_layout(rect=(0, 0.03, 1, 1))
    figure.savefig(path, dpi=110)
    plt.close(figure)


def spread(wanted: Floats, gap: float) -> Floats:
    """Move positions in [0, 1] at least `gap` apart, each as little as possible.

    `wanted` are the positions, ascending. If there is not enough room, they are spread evenly.
    """
    gap = min(gap, 1 / max(1, len(wanted) - 1))
    steps = gap * np.arange(len(wanted))
    moved = np.asarray(optimize.isotonic_regression(wanted - steps).x)
    return np.asarray(np.clip(moved, 0, 1 - steps[-1]) + steps)


def _draw_panel(axes: Axes, panel: Panel, variants: Mapping[str, str]) -> None:
    sizes = np.array([point.size for point in panel.points])
    left, right = np.log(sizes.min() / _MARGIN), np.log(sizes.max() * _MARGIN)
    axes.set_xlim(np.exp(left), np.exp(right))
    scale_sizes(axes)
    formula = "too few variants for a curve"
    if panel.fit:
        along = np.geomspace(sizes.min(), sizes.max(), _CURVE_POINTS)
        formula = _draw_curve(axes, panel.fit, along)
    named = sorted(zip(variants.items(), panel.points, strict=True), key=_from_left)
    wanted = np.array([(np.log(point.size) - left) / (right - left) for _, point in named])
    beside = np.exp(left + spread(wanted, _MARKER_GAP) * (right - left))
    above = spread(wanted, _NAME_GAP)
    for ((name, precision), point), x, name_x in zip(named, beside, above, strict=True):
        colour = _COLOURS[precision]
        bar = 1.96 * point.standard_error
        axes.errorbar(x, point.value, yerr=bar, fmt="o", markersize=5, color=colour, linewidth=1)
        axes.annotate(
            name,
            (x, point.value + bar),
            xytext=(name_x, 1.02),
            textcoords="axes fraction",
            rotation=90,
            ha="center",
            va="bottom",
            fontsize=8,
            color=colour,
            arrowprops={"arrowstyle": "-", "color": colour, "alpha": 0.35, "linewidth": 0.6},
        )
    axes.set_xlabel(f"{panel.size}\n{formula}")
    axes.set_ylabel(panel.value)
    axes.grid(visible=True, alpha=0.3)


def _from_left(named: tuple[tuple[str, str], Point]) -> tuple[float, float]:
    _, point = named
    return point.size, point.value


def _draw_curve(axes: Axes, fit: Fit, sizes: Floats) -> str:
    """Draw the curve with its band; return its formula."""
    low, high = fit.band(sizes)
    law = fit.law
    formula = f"{law.a:.3f} + {law.c:.3f} (size / {law.reference:.2g})$^{{-{law.alpha:.2f}}}$"
    if fit.doubts:
        formula = f"no power law; best fit {formula}"
    style = "--" if fit.doubts else "-"
    axes.plot(sizes, law.at(sizes), style, color="black", linewidth=1)
    axes.fill_between(sizes, low, high, color="black", alpha=0.08)
    return formula
