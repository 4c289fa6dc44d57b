"""`python -m models decide FAMILY`: thresholds with a guarantee, into decisions.json."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from models.cascade.observations import BATCH_TEXTS
from models.decisions import report
from models.decisions.coverage_check import coverage, coverage_table
from models.decisions.observations import Observations, Scored, observe
from models.decisions.options import DecideOptions
from models.decisions.thresholds import Allowance, TooFewTexts, allowances, threshold
from models.evaluation.statistics import Flags, Floats, proportion
from models.recipe import RecipeError
from serving.bundles.decisions import (
    DECISIONS_NAME,
    MOST_POINTS,
    Decided,
    Decider,
    Decisions,
    LabelTarget,
    Point,
)
from serving.bundles.family_file import write_family_file

# About 200 bytes each, so that the file stays far below the limit of what describes a family.
_MOST_POINTS_OF_ALL = 5000


def run(options: DecideOptions, output: Path) -> None:
    """Write `decisions.json` into the family's folder and a picture into `output`; print a report.

    Raises RecipeError when a target cannot be shown, or texts or variants are missing.
    """
    found = observe(options)
    decisions = decide(found, options)
    path = write_family_file(options.registry / options.family, DECISIONS_NAME, decisions)
    print(report.summary(decisions, found))
    output.mkdir(parents=True, exist_ok=True)
    picture = output / report.PICTURE_NAME
    report.draw(decisions, picture)
    print(f"Wrote {path} and {picture}")


def check_coverage(options: DecideOptions, times: int) -> None:
    """Print how often a target is missed in `times` re-splits, and with which power.

    Raises as `run` does.
    """
    if times < 1:
        raise RecipeError(f"--resplit {times}: choose a positive number")
    found = observe(options)
    _allowances(found, options)
    print(
        coverage_table(
            coverage(found, options.targets, options.confidence, times), options.confidence
        )
    )


def decide(found: Observations, options: DecideOptions) -> Decisions:
    """Choose the thresholds of each variant and the cascade, and judge them on the other texts.

    Raises RecipeError when a target cannot be shown, or no variant can meet the targets.
    """
    allowed = _allowances(found, options)
    deciders = []
    for scored in found.scored:
        labels = _decided(found, scored, options.targets, allowed)
        if isinstance(labels, str):
            print(f"{scored.variant or 'the cascade'} is left out: {labels}")
        else:
            deciders.append(
                Decider(
                    variant=scored.variant,
                    versions=dict(scored.versions),
                    cascade_hash=scored.cascade_hash,
                    windows_hash=scored.windows_hash,
                    engines=dict(scored.engines),
                    flagged=proportion(np.any(scored.chosen >= _thresholds(labels), axis=1)),
                    labels=labels,
                )
            )
    if not deciders:
        raise RecipeError(
            f"{options.registry / options.family}: no variant can meet the targets with any "
            "threshold: raise --max-false-positive-rate"
        )
    return Decisions(
        family=options.family,
        targets=list(options.targets),
        confidence=options.confidence,
        long="windows" if found.windows else "truncate",
        batch_texts=BATCH_TEXTS,
        chosen_sha256=found.texts[0].sha256,
        judged_sha256=found.texts[1].sha256,
        deciders=deciders,
    )


def _allowances(found: Observations, options: DecideOptions) -> list[Allowance]:
    for target, has_label in zip(options.targets, found.truth[1].T, strict=True):
        if has_label.all() or not has_label.any():
            raise RecipeError(
                f"{target.label}: the texts that judge its threshold need some with this label and "
                "some without it"
            )
    try:
        return allowances(options.targets, found.truth[0], options.confidence)
    except TooFewTexts as error:
        raise RecipeError(report.refusal(error, options, found)) from error


def _decided(
    found: Observations,
    scored: Scored,
    targets: Sequence[LabelTarget],
    allowed: Sequence[Allowance],
) -> list[Decided] | str:
    """Return each label's threshold, or why there is none."""
    labels = []
    points = min(MOST_POINTS, _MOST_POINTS_OF_ALL // (len(found.scored) * len(targets)))
    for at, (target, each) in enumerate(zip(targets, allowed, strict=True)):
        chosen, judged = scored.chosen[:, at], scored.judged[:, at]
        value = threshold(chosen, found.truth[0][:, at], target, each)
        if value is None:
            many = f"{each.errors + 1} texts"
            if target.min_recall is not None:
                return f"{many} with {target.label} end early without it"
            return f"{many} without {target.label} have its highest score, or nearly"
        has_label = found.truth[1][:, at]
        labels.append(
            Decided(
                **_point(value, judged, has_label).model_dump(),
                label=target.label,
                n=each.n,
                risk=each.risk,
                flagged=proportion(chosen >= value),
                curve=_curve(judged, has_label, points),
            )
        )
    return labels


def _thresholds(labels: Sequence[Decided]) -> Floats:
    return np.array([each.threshold for each in labels])


def _point(value: float, judged: Floats, has_label: Flags) -> Point:
    flagged = judged >= value
    return Point(
        threshold=value,
        false_positive_rate=proportion(flagged[~has_label]),
        recall=proportion(flagged[has_label]),
    )


def _curve(judged: Floats, has_label: Flags, most: int) -> list[Point]:
    """Points at which the curve moves by equal steps of either rate, both ends included."""
    shares = np.linspace(0, 1, most // 2)
    kinds = (judged[has_label], judged[~has_label])
    values = np.unique([np.quantile(each, shares, method="lower").clip(0, 1) for each in kinds])
    return [_point(float(value), judged, has_label) for value in values]
