"""`python -m models report FAMILY`: a family's scores as a table, and its error against size."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from itertools import product
from pathlib import Path

from models.recipe import RecipeError
from models.reports.markdown import UNDEFINED, percent, table
from models.reports.power_law import FEWEST_POINTS, Fit, Point, fitted, have_sizes
from models.reports.scaling_plot import Panel, draw
from serving.bundles.bundle import Manifest
from serving.bundles.evaluation import Estimate, Evaluation
from serving.bundles.registry import read_registry
from serving.bundles.risks import group_gap, stress_drop

PICTURE_NAME = "scaling.png"
FIGURES_NAME = "scaling.json"
_STANDARD_ERRORS_PER_INTERVAL = 2 * 1.96
_SMALLEST_ERROR = 1e-4
_SIZES = ("parameters", "bytes")
_VALUES: tuple[str, ...] = ("error", "loss")
_TITLES = {
    _VALUES: "error (share of texts) and loss (nats a text) on the test split",
    ("disagreement",): "disagreement with the original (share of texts)",
}


def run(family: str, registry: Path, output: Path) -> None:
    """Report, and say which law each of the curves follows. Raises RecipeError as `report`."""
    panels = report(family, registry, output)
    if len(panels[0].points) < FEWEST_POINTS:
        print(
            f"No curve: it needs {FEWEST_POINTS} variants, and there are {len(panels[0].points)}."
        )
    for panel in panels:
        if panel.fit:
            print(_sentence(panel, panel.fit))


def report(family: str, registry: Path, output: Path) -> list[Panel]:
    """Print the table, write `scaling.png` and `scaling.json` into `output`; return the curves.

    A curve needs three variants; fewer are listed and drawn without one. A family that was measured
    without labels is shown by its agreement.
    Raises RecipeError when the family does not exist or has no evaluated variant.
    """
    families = read_registry(registry)
    if family not in families:
        raise RecipeError(f"{registry} has no family {family}: choose from {', '.join(families)}")
    every = sorted((b.manifest for b in families[family]), key=lambda each: -each.bytes)
    manifests = [each for each in every if each.judged]
    values = _VALUES if manifests else ("disagreement",)
    manifests = manifests or [each for each in every if each.agreement]
    if not manifests:
        raise RecipeError(
            f"{family} has no evaluated variant in {registry}: run `python -m models all`"
        )
    panels = []
    for value, size in product(values, _SIZES):
        points = [_point(manifest, size, value) for manifest in manifests]
        fit = fitted(points) if len(points) >= FEWEST_POINTS and have_sizes(points) else None
        panels.append(Panel(size, value, points, fit))
    output.mkdir(parents=True, exist_ok=True)
    print(markdown(manifests))
    draw(
        f"{family}: {_TITLES[values]}, with 95 % intervals",
        {manifest.variant: manifest.precision for manifest in manifests},
        panels,
        output / PICTURE_NAME,
    )
    figures = {
        "family": family,
        "variants": [manifest.model_dump(mode="json") for manifest in manifests],
        "fits": [
            {"of": panel.value, "against": panel.size, **asdict(panel.fit.law)}
            | {"intervals": panel.fit.intervals, "aicc": panel.fit.aicc}
            | {"doubts": panel.fit.doubts}
            for panel in panels
            if panel.fit
        ],
    }
    (output / FIGURES_NAME).write_text(json.dumps(figures, indent=2))
    print(f"Wrote {output / PICTURE_NAME} and {output / FIGURES_NAME}")
    return panels


def markdown(manifests: Sequence[Manifest]) -> str:
    """Format a table with a row for each variant: what it is, and its scores on the test split.

    Without any, its agreement with the bundle that it was compared with.
    """
    if not any(manifest.judged for manifest in manifests):
        return _agreements(manifests)
    header = (
        "variant", "precision", "parameters", "bytes", "times smaller", "accuracy, %",
        "macro-F1, %", "calibration error, %", "agreement with the teacher, %",
        "accuracy against the teacher's, points",
        "predictions that change in a padded batch, %", "offline texts/s", "build, s",
    )  # fmt: skip
    risks = {title: of for title, of in _RISKS.items() if any(map(of, manifests))}
    largest = max(manifest.bytes for manifest in manifests)
    rows = []
    for manifest in manifests:
        found = manifest.judged
        assert found is not None
        speed = found.texts_per_second
        rows.append(
            (
                *_sizes(manifest, largest),
                percent(found.accuracy, unit=""),
                f"{100 * found.macro_f1.value:.1f}" if found.macro_f1 else UNDEFINED,
                f"{100 * found.expected_calibration_error.value:.1f}",
                f"{100 * found.agreement.value:.1f}" if found.agreement else "",
                _against_teacher(found),
                f"{100 * found.batch_flips.value:.2f}" if found.batch_flips else "",
                f"{speed:.0f}" if speed else "",
                f"{sum(manifest.build_seconds.values()):.0f}",
                *(percent(of(manifest), unit="") for of in risks.values()),
            )
        )
    return table((*header, *risks), rows)


def _drop(manifest: Manifest) -> Estimate | None:
    found = stress_drop(manifest)
    return found.drop if found else None


def _gap(manifest: Manifest) -> Estimate | None:
    found = group_gap(manifest)
    return found.gap if found else None


_RISKS = {"drop on altered texts, points": _drop, "gap between groups, points": _gap}
"""Columns of what only some families have measured."""


def _sizes(manifest: Manifest, largest: int) -> tuple[str, ...]:
    """The first cells of both tables."""
    return (
        manifest.variant,
        manifest.precision,
        f"{manifest.parameters:,}",
        f"{manifest.bytes:,}",
        f"{largest / manifest.bytes:.1f}",
    )


def _agreements(manifests: Sequence[Manifest]) -> str:
    header = (
        "variant", "precision", "parameters", "bytes", "times smaller",
        "answers as the original, %", "the original", "texts", "build, s",
    )  # fmt: skip
    largest = max(manifest.bytes for manifest in manifests)
    rows = []
    for manifest in manifests:
        found = manifest.agreement
        assert found is not None
        rows.append(
            (
                *_sizes(manifest, largest),
                percent(found.share, unit=""),
                f"{found.family}/{found.variant}",
                f"{found.n:,}",
                f"{sum(manifest.build_seconds.values()):.0f}",
            )
        )
    return table(header, rows)


def _against_teacher(evaluation: Evaluation) -> str:
    if not evaluation.versus:
        return ""
    pair = next(iter(evaluation.versus.values()))
    return f"{100 * pair.difference.value:+.2f}, p = {pair.p_value:.2g}"


def _point(manifest: Manifest, size: str, value: str) -> Point:
    found = manifest.judged
    if found is None:
        assert manifest.agreement is not None
        estimate: Estimate | None = manifest.agreement.share
    else:
        estimate = found.accuracy if value == "error" else found.negative_log_likelihood
    if estimate is None:
        raise RecipeError(
            f"{manifest.variant} has no negative log-likelihood in its evaluation: build it again"
        )
    spread = (estimate.high - estimate.low) / _STANDARD_ERRORS_PER_INTERVAL
    return Point(
        size=float(getattr(manifest, size)),
        value=estimate.value if value == "loss" else 1 - estimate.value,
        standard_error=max(spread, _SMALLEST_ERROR),
    )


def _sentence(panel: Panel, fit: Fit) -> str:
    size, value, law = panel.size, panel.value, fit.law
    ranges = ", ".join(f"{k} {low:.3g} to {high:.3g}" for k, (low, high) in fit.intervals.items())
    law_text = (
        f"{value} = {law.a:.4f} + {law.c:.4f} * ({size} / {law.reference:.3g})^-{law.alpha:.3f}"
    )
    if fit.doubts:
        return (
            f"{value} against {size}: no power law. {'; '.join(fit.doubts)}. Best fit: {law_text}"
        )
    return f"{value} against {size}: {law_text} (95 %: {ranges})"
