"""Coverage check: how often thresholds miss a target, repeated on many re-splits. Pure."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from models.decisions.observations import Observations
from models.decisions.thresholds import (
    Allowance,
    TooFewTexts,
    allowances,
    best_power,
    error_rate,
    power,
    threshold,
)
from models.evaluation.statistics import Flags, Floats, Indices, proportion
from models.progress import progress
from models.reports.markdown import percent, table
from serving.bundles.decisions import CASCADE, LabelTarget
from serving.bundles.evaluation import Estimate

_SEED = 0
_WITHOUT = "without replacement, judged on the rest"
WITH_REPLACEMENT = "with replacement, judged on all texts"


@dataclass(frozen=True)
class Resplit:
    """The thresholds of one re-split, judged on texts that did not choose them.

    The lists have an entry for each target: the share of errors, the power, and that of the best
    threshold with hindsight. They are empty if the targets cannot be shown, or met.
    """

    errors: Sequence[float]
    powers: Sequence[float]
    hindsight: Sequence[float]


@dataclass(frozen=True)
class Coverage:
    """The re-splits of one decider, drawn in one way."""

    name: str
    way: str
    targets: Sequence[LabelTarget]
    resplits: Sequence[Resplit]

    @property
    def missed(self) -> Estimate:
        """Share of the re-splits in which a target is missed; none is if there is no threshold."""
        most = np.array([target.max_error for target in self.targets])
        return proportion(np.array([bool(np.any(each.errors > most)) for each in self._found()]))

    def missed_by(self, at: int) -> Estimate:
        """Share of the re-splits in which one target is missed."""
        most = self.targets[at].max_error
        return proportion(np.array([each.errors[at] > most for each in self._found()]))

    def _found(self) -> list[Resplit]:
        never = [0.0] * len(self.targets)
        return [each if each.errors else Resplit(never, [], []) for each in self.resplits]


def resplit(
    scores: tuple[Floats, Floats],
    truth: tuple[Flags, Flags],
    targets: Sequence[LabelTarget],
    confidence: float,
) -> Resplit:
    """Choose thresholds on the first scores, (texts, targets), and judge them on the second."""
    try:
        allowed: list[Allowance] = allowances(targets, truth[0], confidence)
    except TooFewTexts:
        return Resplit([], [], [])
    errors, powers, hindsight = [], [], []
    for at, (target, each) in enumerate(zip(targets, allowed, strict=True)):
        value = threshold(scores[0][:, at], truth[0][:, at], target, each)
        if value is None:
            return Resplit([], [], [])
        flagged, has_label = scores[1][:, at] >= value, truth[1][:, at]
        errors.append(error_rate(flagged, has_label, target))
        powers.append(power(flagged, has_label, target))
        hindsight.append(best_power(scores[1][:, at], has_label, target))
    return Resplit(errors, powers, hindsight)


def drawn(sizes: tuple[int, int], times: int, way: str) -> Iterator[tuple[Indices, Indices]]:
    """Yield parts of the pooled texts: those that choose, as many as did, and those that judge.

    Parts drawn without replacement are judged on the rest of the texts, whose rates scatter; parts
    drawn with replacement are judged on all texts, whose rates are exactly the true ones.
    """
    generator = np.random.default_rng(_SEED)
    everything = np.arange(sum(sizes))
    for _ in range(times):
        if way == WITH_REPLACEMENT:
            yield generator.choice(everything, sizes[0]), everything
        else:
            order = generator.permutation(everything)
            yield order[: sizes[0]], order[sizes[0] :]


def coverage(
    found: Observations, targets: Sequence[LabelTarget], confidence: float, times: int
) -> list[Coverage]:
    """Re-split the texts in two ways and choose thresholds on each; the cascade stays as it is."""
    truth = np.concatenate(found.truth)
    sizes = (len(found.truth[0]), len(found.truth[1]))
    checks = []
    for scored in found.scored:
        scores = np.concatenate([scored.chosen, scored.judged])
        name = scored.variant or CASCADE
        for way in (_WITHOUT, WITH_REPLACEMENT):
            does = f"{name}, {way.partition(',')[0]}"
            parts = progress(drawn(sizes, times, way), total=times, does=does, units="re-splits")
            resplits = [
                resplit((scores[a], scores[b]), (truth[a], truth[b]), targets, confidence)
                for a, b in parts
            ]
            checks.append(Coverage(name, way, targets, resplits))
    return checks


def coverage_table(checks: Sequence[Coverage], confidence: float) -> str:
    """Tabulate the results of re-splits: the targets together, and each by itself."""
    header = (
        "what decides, and how texts were drawn",
        "target",
        "found, %",
        f"missed, % (at most {100 * (1 - confidence):.0f} of all)",
        "mean errors, %",
        "power, %",
        "with hindsight, %",
    )
    rows: list[tuple[object, ...]] = []
    for check in checks:
        found = [each for each in check.resplits if each.errors]
        share = f"{100 * len(found) / len(check.resplits):.1f}"
        where = f"{check.name}, {check.way}"
        if len(check.targets) > 1:
            rows.append((where, "all", share, percent(check.missed, unit=""), "", "", ""))
        for at, target in enumerate(check.targets):
            means = (
                _mean([getattr(each, kind)[at] for each in found])
                for kind in ("errors", "powers", "hindsight")
            )
            missed = percent(check.missed_by(at), unit="")
            rows.append((where, target.words, share, missed, *means))
    times = len(checks[0].resplits)
    return (
        f"{times} re-splits at {confidence:.0%}. On the rest of the texts a target may also be "
        "missed because the rest scatters; on all texts the rates are the true ones.\n\n"
        f"{table(header, rows)}"
    )


def _mean(values: Sequence[float]) -> str:
    return f"{100 * np.mean(values):.2f}" if values else ""
