"""What altered texts do to variants, computed from their logits. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from models.evaluation import simultaneous
from models.evaluation.predictions import predicted, probabilities
from models.evaluation.statistics import Flags, Floats, Indices, calibration_error, correct
from models.perturbations.kinds import KEEP_MEANING
from models.perturbations.names import Perturbation
from models.recipe_sections import ProblemType
from serving.bundles.evaluation import Estimate, Negations, StressDrop, Stressed


@dataclass(frozen=True)
class Condition:
    """A kind of perturbation at a strength, and the share of texts that it alters."""

    kind: Perturbation
    strength: float
    altered: float


@dataclass(frozen=True)
class Answered:
    """A variant's `logits`, (1 + conditions, texts, labels): of the unaltered texts first.

    `truth` has the shape (texts, labels). Where a text has no tokens, logits are not numbers: it
    has no answer, which is neither right nor that of the unaltered text.
    """

    truth: Flags
    logits: Floats
    problem_type: ProblemType
    temperature: float

    def answers(self) -> Flags:
        """Return the predicted labels, of the shape of the logits."""
        return np.stack([predicted(np.nan_to_num(each), self.problem_type) for each in self.logits])

    def answered(self) -> Flags:
        """Return which texts have an answer, (1 + conditions, texts)."""
        return np.asarray(~np.isnan(self.logits).any(axis=2))

    def right(self) -> Flags:
        """Return which answers are right, (1 + conditions, texts)."""
        hits = np.stack([correct(self.truth, each) for each in self.answers()])
        return hits & self.answered()

    def flipped(self) -> Flags:
        """Return which answers differ from those to the unaltered texts, (conditions, texts)."""
        plain, *others = self.answers()
        same = np.stack([correct(plain, each) for each in others])
        return ~same | ~self.answered()[1:]

    def probabilities(self) -> Floats:
        """Return the tempered probabilities, of the shape of the logits."""
        plain = np.nan_to_num(self.logits)
        return np.stack([probabilities(x, self.problem_type, self.temperature) for x in plain])


@dataclass(frozen=True)
class Figures:
    """A variant's figures; `conditions` are in the order of those that were asked."""

    accuracy: Estimate
    calibration_error: Estimate
    conditions: list[Stressed]
    largest_drop: StressDrop | None


def figures(
    found: Mapping[str, Answered], conditions: Sequence[Condition], reference: str
) -> dict[str, Figures]:
    """Compute the figures of variants by name, whose texts are the same.

    The intervals of a column hold together, over all variants and conditions.
    """
    size = 1 + len(conditions)
    accuracy = _chunks(
        simultaneous.shares(np.concatenate([each.right() for each in found.values()])), size
    )
    flips = _chunks(
        simultaneous.shares(np.concatenate([each.flipped() for each in found.values()])), size - 1
    )
    errors = _chunks(_calibration_errors(list(found.values())), size)
    smaller = [name for name in found if name != reference]
    lost = {name: _lost(each) for name, each in found.items()}
    drops = _largest_drops(lost, conditions)
    gaps: dict[str, list[Estimate]] = {}
    if smaller:
        beyond = np.concatenate([lost[name] - lost[reference] for name in smaller])
        gaps = dict(zip(smaller, _chunks(simultaneous.means(beyond), size - 1), strict=True))
    return {
        name: Figures(
            accuracy[at][0],
            errors[at][0],
            [
                Stressed(
                    kind=each.kind,
                    strength=each.strength,
                    altered=each.altered,
                    accuracy=accuracy[at][1 + row],
                    flips=flips[at][row],
                    calibration_error=errors[at][1 + row],
                    gap=gaps[name][row] if name in gaps else None,
                )
                for row, each in enumerate(conditions)
            ],
            drops.get(name),
        )
        for at, name in enumerate(found)
    }


def negations(answers: tuple[Flags, Flags], truth: tuple[Flags, Flags]) -> Negations:
    """Count the pairs that flip, and those of which both are right; each (pairs, labels)."""
    first, second = (correct(*both) for both in zip(truth, answers, strict=True))
    return Negations(
        pairs=len(first),
        flipped=float((~correct(*answers)).mean()),
        right=float((first & second).mean()),
    )


def _lost(of: Answered) -> Floats:
    """Whether each condition loses a text's right answer, or gains one: 1, 0 or -1."""
    right = of.right().astype(np.float64)
    return np.asarray(right[0] - right[1:])


def _largest_drops(
    lost: Mapping[str, Floats], conditions: Sequence[Condition]
) -> dict[str, StressDrop]:
    """The drop of each variant whose upper end is highest, of the kinds that keep the meaning."""
    kept = [row for row, each in enumerate(conditions) if each.kind in KEEP_MEANING]
    if not kept:
        return {}
    found = simultaneous.means(np.concatenate([its[kept] for its in lost.values()]))
    largest = {}
    for name, its in zip(lost, _chunks(found, len(kept)), strict=True):
        drop, row = max(zip(its, kept, strict=True), key=lambda each: each[0].high)
        condition = conditions[row]
        largest[name] = StressDrop(kind=condition.kind, strength=condition.strength, drop=drop)
    return largest


def _calibration_errors(found: Sequence[Answered]) -> list[Estimate]:
    rows = [(each, row) for each in found for row in each.probabilities()]

    def each(at: Indices) -> Floats:
        return np.array(
            [
                calibration_error(
                    of.truth[at], row[at], single_label=of.problem_type == "single_label"
                )
                for of, row in rows
            ]
        )

    return simultaneous.figures(each, len(found[0].truth))


def _chunks(estimates: Sequence[Estimate], size: int) -> list[list[Estimate]]:
    return [list(estimates[at : at + size]) for at in range(0, len(estimates), size)]
