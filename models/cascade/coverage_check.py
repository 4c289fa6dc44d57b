"""Coverage check: how often a selection misses its target, repeated on many re-splits."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from models.cascade.candidates import Candidates
from models.cascade.scored_texts import LabelledLogits, Problem, scored
from models.cascade.selection import select
from models.evaluation.statistics import Indices, proportion
from models.progress import progress
from models.reports.markdown import percent, table
from serving.bundles.cascade import Target
from serving.bundles.evaluation import Estimate

_SEED = 0


@dataclass(frozen=True)
class Resplit:
    """One selection, judged on texts that it has not seen.

    `loss` is the worst group's, None if no cascade was found. `saved` is the share of the
    reference's cost that it saves, `hindsight` what the cheapest candidate within the target saves.
    """

    loss: float | None
    saved: float
    hindsight: float


def pooled(answers: Sequence[LabelledLogits]) -> LabelledLogits:
    """Join the texts."""
    truth = np.concatenate([part.truth for part in answers])
    alone = [part.alone for part in answers if part.alone is not None]
    return LabelledLogits(
        truth,
        np.concatenate([part.logits for part in answers], axis=1),
        np.concatenate(alone) if len(alone) == len(answers) else None,
    )


def resplit(
    pool: LabelledLogits, problem: Problem, parts: tuple[Indices, Indices, Indices]
) -> Resplit:
    """Select on the first two parts of the pool and judge on the third."""
    ordered, tested, judging = (pool.of(part) for part in parts)
    selection = select(ordered, tested, problem)
    texts = scored(judging, selection.calibrations, problem)
    alone = problem.costs[problem.reference]
    hindsight = 1 - Candidates(texts, problem, selection.grid).least_cost() / alone
    if selection.chosen is None:
        return Resplit(None, 0.0, hindsight)
    saved = 1 - texts.cost(selection.chosen, problem.costs) / alone
    return Resplit(texts.worst(selection.chosen), saved, hindsight)


Ways = dict[str, list[Resplit]]
"""The re-splits by how they were drawn and judged."""

WITH_REPLACEMENT = "with replacement, judged on all texts"
_WITHOUT_REPLACEMENT = "without replacement, judged on the rest"


def coverage(texts: Sequence[LabelledLogits], problem: Problem, times: int) -> Ways:
    """Re-split the texts into parts of the original sizes, in two ways, and select on each.

    Parts drawn without replacement are judged on the rest of the texts, whose loss scatters; parts
    drawn with replacement are judged on all texts, whose loss is exactly the expected one.
    """
    pool, generator = pooled(texts), np.random.default_rng(_SEED)
    sizes = [len(part.truth) for part in texts]
    everything = np.arange(sum(sizes))
    ways: Ways = {_WITHOUT_REPLACEMENT: [], WITH_REPLACEMENT: []}
    for way, found in ways.items():
        does = f"re-splits {way.partition(',')[0]}"
        for _ in progress(range(times), does=does, units="re-splits"):
            if way == WITH_REPLACEMENT:
                order = generator.choice(everything, len(everything))
            else:
                order = generator.permutation(everything)
            first, second, rest = np.split(order, np.cumsum(sizes)[:-1])
            third = everything if way == WITH_REPLACEMENT else rest
            found.append(resplit(pool, problem, (first, second, third)))
    return ways


def coverage_table(ways: Ways, target: Target) -> str:
    """Tabulate the results of re-splits."""
    allowed = f"target missed, % (at most {100 * (1 - target.confidence):.0f})"
    header = (
        "drawn",
        "cascade found, %",
        allowed,
        "mean loss, %",
        "cost saved, %",
        "saved with hindsight, %",
    )
    rows = [(way, *_figures(found, target)) for way, found in ways.items()]
    return (
        f"{len(ways[WITH_REPLACEMENT])} re-splits, loss of {target.loss} at most "
        f"{target.max_loss:.2%} at {target.confidence:.0%}\n\n{table(header, rows)}"
    )


def missed(found: Sequence[Resplit], target: Target) -> Estimate:
    """Return the share of re-splits whose cascade loses more than the target allows."""
    return proportion(
        np.array([each.loss is not None and each.loss > target.max_loss for each in found])
    )


def _figures(found: Sequence[Resplit], target: Target) -> tuple[str, ...]:
    losses = [each.loss for each in found if each.loss is not None]
    return (
        f"{100 * len(losses) / len(found):.1f}",
        percent(missed(found, target), unit=""),
        f"{100 * np.mean(losses):.2f}" if losses else "",
        f"{100 * np.mean([each.saved for each in found]):.1f}",
        f"{100 * np.mean([each.hindsight for each in found]):.1f}",
    )
