"""Reports a cascade in words and as a picture, beside its reference and the best thresholds."""

from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from models.cascade.candidates import Candidates
from models.cascade.looks import LOOKS_NAME, Looks
from models.cascade.observations import Observations
from models.cascade.risk_control import refutation
from models.cascade.scored_texts import Candidate, scored
from models.cascade.selection import Selection
from models.evaluation.statistics import proportion
from models.reports.axes import scale_sizes
from models.reports.markdown import comparison, percent, table
from serving.bundles.cascade import Cascade, Target

PICTURE_NAME = "cascade.png"
_SIGNIFICANT = 0.05


def summary(cascade: Cascade, found: Observations, selection: Selection, looks: Looks) -> str:
    """Write the report that the command prints; `looks` counts this one."""
    target, expected, reference = cascade.target, cascade.expected, cascade.reference.variant
    stages = [
        (
            stage.variant,
            "" if stage.threshold is None else f"{stage.threshold:.4f}",
            stage.calibration.kind if stage.calibration else "",
            f"{100 * stage.reach:.1f}",
            percent(stage.accuracy, unit=""),
        )
        for stage in cascade.stages
    ]
    alone = found.reference_hits(found.problem(target))
    each = " for each label" if target.each_label else ""
    if cascade.unlabelled == 0:
        each += " (not shown for texts without a label: calibration has none)"
    slower = "higher" if expected.p99_ms > expected.reference_p99_ms else "not higher"
    assert cascade.versus is not None
    accuracy = "accuracy if it ended here, %"
    header = ("variant", "threshold", "calibration", "texts reached, %", accuracy)
    return f"""{cascade.family}: loss of {target.loss} against {reference} at most \
{target.max_loss:.2%}{each}, with {target.confidence:.0%} confidence

{table(header, stages)}
{_early(found)}Guarantee: loss {cascade.loss:.2%}, upper bound {cascade.bound:.2%}, \
on {cascade.n:,} texts. \
Escalated: {percent(cascade.escalation)}. Labelled otherwise than by {reference} alone: \
{percent(cascade.disagreement)}, and by {reference} in batches of {cascade.batch_texts}: \
{percent(cascade.self_disagreement)}. Shown on {_engines(cascade)}, long texts \
{"in windows" if found.windows else "truncated"}.
Test split, {len(found.texts[2].texts):,} texts: accuracy {percent(cascade.stages[-1].accuracy)}, \
{reference} {percent(proportion(alone))}. {comparison(reference, cascade.versus, len(alone))}
{_verdict(cascade, found, selection)} {_looks(looks, target)}

{_alone(cascade, found, selection)}
Cost: {1000 * expected.cost_s:.2f} core ms per text, {reference} \
{1000 * expected.reference_cost_s:.2f}: {expected.reference_cost_s / expected.cost_s:.2f} times \
the throughput, by the calibration texts.
Latency without load: p50 {expected.p50_ms:.1f} ms ({reference} {expected.reference_p50_ms:.1f}), \
p99 {expected.p99_ms:.1f} ms ({expected.reference_p99_ms:.1f}), so the p99 is {slower}.
{_best_thresholds(cascade, found, selection)}"""


def _early(found: Observations) -> str:
    if found.early_labels is None:
        return ""
    what = (
        f"with {' or '.join(found.early_labels)} only" if found.early_labels else "without a label"
    )
    return f"Only the last variant ends every text: those before it end texts {what}.\n"


def _engines(cascade: Cascade) -> str:
    return "; ".join(f"{variant}: {engine}" for variant, engine in cascade.engines.items()) or "?"


def _verdict(cascade: Cascade, found: Observations, selection: Selection) -> str:
    """Say whether the test split refutes the guarantee."""
    texts = scored(found.logits[2], selection.calibrations, found.problem(cascade.target))
    assert selection.chosen is not None
    chance = refutation(texts.lost(selection.chosen), texts.groups, cascade.target)
    loss = f"a loss of {texts.worst(selection.chosen):.2%}, p = {chance:.2g}"
    if chance > _SIGNIFICANT:
        return f"The test split is consistent with the guarantee ({loss})."
    remedy = "raise --max-loss or hold out more texts"
    return f"THE TEST SPLIT REFUTES THE GUARANTEE ({loss}): {remedy}."


def _looks(looks: Looks, target: Target) -> str:
    """Say what the best of several looks at the same texts is worth."""
    if looks.tested == looks.judged == 1:
        return (
            f"This is the first look at exactly these texts that this registry's {LOOKS_NAME} "
            "counts: looks at a table that shares most of them are not counted."
        )
    return (
        f"This is look {looks.judged} at the test split and {looks.tested} at the calibration "
        f"texts that this registry's {LOOKS_NAME} counts. If you choose among them by their "
        "figures, the test split judges no longer, and the guarantee of the best holds with "
        f"{looks.worth(target.confidence):.0%} instead of {target.confidence:.0%}."
    )


def _alone(cascade: Cascade, found: Observations, selection: Selection) -> str:
    """Tabulate the accuracy of the variants alone: in these batches, and as on their cards."""
    hits = found.hits(selection, found.problem(cascade.target))
    used = {stage.variant for stage in cascade.stages} | {cascade.reference.variant}
    rows = []
    for number, manifest in enumerate(found.manifests):
        if manifest.variant in used:
            judged = manifest.judged
            same = judged and judged.split_sha256 == found.texts[2].sha256
            rows.append(
                (
                    manifest.variant,
                    percent(proportion(hits(Candidate((number,), ()))), unit=""),
                    percent(judged.accuracy if judged and same else None, unit=""),
                )
            )
    header = (
        "alone, on the test split",
        f"accuracy in batches of {cascade.batch_texts}, %",
        "accuracy one by one, as on its card, %",
    )
    return table(header, rows)


def _best_thresholds(cascade: Cascade, found: Observations, selection: Selection) -> str:
    """What the best candidate for the test split would save: the price of the guarantee."""
    problem = found.problem(cascade.target)
    texts = scored(found.logits[2], selection.calibrations, problem)
    least = Candidates(texts, problem, selection.grid).least_cost()
    alone = problem.costs[problem.reference]
    assert selection.chosen is not None
    own = texts.cost(selection.chosen, problem.costs)
    return (
        f"On the test split the cascade loses {texts.worst(selection.chosen):.2%} and saves "
        f"{1 - own / alone:.1%} of the cost; the best thresholds, which only the test "
        f"split could have told, would save {1 - least / alone:.1%}."
    )


def draw(cascade: Cascade, found: Observations, selection: Selection, path: Path) -> None:
    """Write the picture as a PNG."""
    picture(cascade, found, selection).savefig(path, dpi=110)


def picture(cascade: Cascade, found: Observations, selection: Selection) -> Figure:
    """Draw accuracy against cost on the test split.

    It shows the single variants with 95 % intervals, the candidates in the order of testing, and
    the chosen cascade.
    """
    problem = found.problem(cascade.target)
    hits = found.hits(selection, problem)
    texts = scored(found.logits[2], selection.calibrations, problem)
    assert selection.chosen is not None
    figure = Figure(figsize=(8.0, 4.8), layout="constrained")
    axes = figure.subplots()
    for number, manifest in enumerate(found.manifests):
        accuracy = proportion(hits(Candidate((number,), ())))
        value, cost_ms = 100 * accuracy.value, 1000 * problem.costs[number]
        bars = [[value - 100 * accuracy.low], [100 * accuracy.high - value]]
        axes.errorbar(cost_ms, value, yerr=bars, fmt="o", color="C0", markersize=5, linewidth=0.8)
        axes.annotate(
            manifest.variant, (cost_ms, value), (4, 4), textcoords="offset points", fontsize=8
        )
    points = {
        candidate: (1000 * texts.cost(candidate, problem.costs), 100 * np.mean(hits(candidate)))
        for candidate in selection.sequence
    }
    axes.plot(*zip(*points.values(), strict=True), ".-", color="C2", label="candidates")
    own = points[selection.chosen]
    axes.plot(*own, "*", color="C3", markersize=14, label="the cascade")
    scale_sizes(axes)
    axes.set_xlabel("core ms per text in full batches")
    axes.set_ylabel("accuracy on the test split, %")
    axes.set_title(
        f"{cascade.family}: loss of {cascade.target.loss} at most {cascade.target.max_loss:.2%}"
    )
    axes.grid(visible=True, alpha=0.3)
    axes.legend(frameon=False)
    return figure
