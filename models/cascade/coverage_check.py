"""Whether the guarantee holds, and what it costs: the selection made anew on many re-splits.

It does not know what is asked or how it is timed; it is given answers and costs.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from models.cascade.candidates import Answers, Candidates, Problem, judged, select
from models.evaluation.statistics import Indices, proportion
from models.progress import progress
from models.reports.model_card import percent, table

_SEED = 0


@dataclass(frozen=True)
class Resplit:
    """One selection, judged by texts that it has not seen.

    `loss` is the worst group's, None when no cascade was found; `saved` is the share of the
    reference's cost, `hindsight` that of the cheapest candidate within the target.
    """

    loss: float | None
    saved: float
    hindsight: float


def pooled(answers: Sequence[Answers]) -> Answers:
    """All texts together."""
    truth = np.concatenate([part.truth for part in answers])
    return Answers(truth, np.concatenate([part.logits for part in answers], axis=1))


def resplit(pool: Answers, problem: Problem, parts: tuple[Indices, Indices, Indices]) -> Resplit:
    """Select by the first two parts of the pool and judge by the third."""
    ordered, tested, judging = (pool.of(part) for part in parts)
    selection = select(ordered, tested, problem)
    texts = judged(judging, selection.calibrations, problem)
    alone = problem.costs[problem.reference]
    hindsight = 1 - Candidates(texts, problem, selection.grid).least_cost() / alone
    if selection.chosen is None:
        return Resplit(None, 0.0, hindsight)
    saved = 1 - texts.cost(selection.chosen, problem.costs) / alone
    return Resplit(texts.worst(selection.chosen), saved, hindsight)


def report(answers: Sequence[Answers], problem: Problem, times: int) -> str:
    """A table of re-splits into parts of the original sizes, in two ways.

    Drawn without replacement, each is judged by the rest of the texts, whose loss scatters by
    itself; drawn with replacement, by the pool, whose loss is then the expected one exactly.
    """
    pool, generator = pooled(answers), np.random.default_rng(_SEED)
    sizes = [len(part.truth) for part in answers]
    everything = np.arange(sum(sizes))
    rows = []
    for way, judge in (("without", "the rest"), ("with", "all texts")):
        found = []
        for _ in progress(range(times), does=f"re-splits {way} replacement", units="re-splits"):
            order = generator.permutation(everything)
            if way == "with":
                order = generator.choice(everything, len(everything))
            first, second, rest = np.split(order, np.cumsum(sizes)[:-1])
            third = rest if way == "without" else everything
            found.append(resplit(pool, problem, (first, second, third)))
        rows.append((f"{way} replacement, judged by {judge}", *_figures(found, problem)))
    target = problem.target
    allowed = f"over the target, % (at most {100 * (1 - target.confidence):.0f})"
    header = (
        "drawn",
        "with a cascade, %",
        allowed,
        "mean loss, %",
        "cost saved, %",
        "saved in hindsight, %",
    )
    return (
        f"{times} re-splits, loss of {target.loss} at most {target.max_loss:.2%} "
        f"at {target.confidence:.0%}\n\n{table(header, rows)}"
    )


def _figures(found: Sequence[Resplit], problem: Problem) -> tuple[str, ...]:
    losses = [each.loss for each in found if each.loss is not None]
    over = sum(loss > problem.target.max_loss for loss in losses)
    return (
        f"{100 * len(losses) / len(found):.1f}",
        percent(proportion(np.arange(len(found)) < over), unit=""),
        f"{100 * np.mean(losses):.2f}" if losses else "",
        f"{100 * np.mean([each.saved for each in found]):.1f}",
        f"{100 * np.mean([each.hindsight for each in found]):.1f}",
    )
