"""What swapped words do to variants, computed from their answers to pairs of texts. Pure."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from models.evaluation import simultaneous
from models.evaluation.predictions import predicted, probabilities
from models.evaluation.statistics import Flags, Floats, correct
from models.perturbations.counterfactuals import SIDES, Swap
from models.recipe_sections import ProblemType
from serving.bundles.evaluation import Estimate
from serving.bundles.group_report import ScoreShift, SwappedWords


@dataclass(frozen=True)
class PairAnswers:
    """A variant's logits for both sides of each pair, (swaps, 2, pairs, labels).

    Labels are in an order that all variants share. Logits of a text without tokens are not numbers.
    """

    logits: Floats
    problem_type: ProblemType
    temperature: float

    def flipped(self) -> Flags:
        """Return which pairs have two answers, (swaps, pairs); one without an answer has."""
        rows = []
        for first, second in np.nan_to_num(self.logits):
            answers = [predicted(each, self.problem_type) for each in (first, second)]
            rows.append(~correct(*answers))
        return np.stack(rows) | np.isnan(self.logits).any(axis=(1, 3))

    def shifts(self) -> Floats:
        """Return each label's score of the second minus the first, (swaps, labels, pairs).

        0 where a text has no answer.
        """
        rows = []
        for first, second in np.nan_to_num(self.logits):
            before, after = (
                probabilities(each, self.problem_type, self.temperature) for each in (first, second)
            )
            rows.append((after - before).T)
        unanswered = np.asarray(np.isnan(self.logits).any(axis=(1, 3)))
        return np.where(unanswered[:, None], 0.0, np.stack(rows))


def figures(
    found: Mapping[str, PairAnswers],
    inside: Mapping[Swap, float],
    labels: Sequence[str],
    reference: str,
) -> dict[str, list[SwappedWords]]:
    """Compute the figures of variants by name, whose pairs are the same.

    `inside` has, for each swap, the share of the texts in which words were swapped.
    """
    flipped = {name: each.flipped() for name, each in found.items()}
    shifts = {
        name: each.shifts().reshape(-1, flipped[name].shape[1]) for name, each in found.items()
    }
    flips = _by_name(found, simultaneous.shares(np.concatenate([*flipped.values()])))
    shifted = _by_name(found, simultaneous.means(np.concatenate([*shifts.values()])))
    smaller = [name for name in found if name != reference]
    more: dict[str, list[Estimate]] = {}
    beyond: dict[str, list[Estimate]] = {}
    if smaller:
        of = [flipped[name].astype(np.float64) - flipped[reference] for name in smaller]
        more = _by_name(smaller, simultaneous.means(np.concatenate(of)))
        of = [shifts[name] - shifts[reference] for name in smaller]
        beyond = _by_name(smaller, simultaneous.means(np.concatenate(of)))
    size = len(labels)
    return {
        name: [
            SwappedWords(
                swap=swap,
                first=SIDES[swap][0],
                second=SIDES[swap][1],
                inside=share,
                flips=flips[name][at],
                excess=more[name][at] if name in more else None,
                shifts=[
                    ScoreShift(
                        label=label,
                        shift=shifted[name][at * size + row],
                        excess=beyond[name][at * size + row] if name in beyond else None,
                    )
                    for row, label in enumerate(labels)
                ],
            )
            for at, (swap, share) in enumerate(inside.items())
        ]
        for name in found
    }


def _by_name(names: Collection[str], of: list[Estimate]) -> dict[str, list[Estimate]]:
    size = len(of) // len(names)
    return {name: of[at * size : (at + 1) * size] for at, name in enumerate(names)}
