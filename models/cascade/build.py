"""`python -m models cascade FAMILY`: variants asked in turn, with a guarantee, as cascade.json.

It does not know how candidates are made and tested (chains.py, guarantee.py).
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from pydantic import ValidationError

from models.cascade import coverage_check, report
from models.cascade.candidates import Chain, Judged, Problem, Selection, judged, select
from models.cascade.costs import machine
from models.cascade.observations import BATCH_TEXTS, Asked, ask
from models.cascade.risk_control import p_value, texts_needed, upper_bound
from models.evaluation.statistics import paired, proportion
from models.recipe import RecipeError
from serving.bundles.bundle import Manifest
from serving.bundles.cascade import (
    CASCADE_NAME,
    Cascade,
    Expected,
    Reference,
    Stage,
    Target,
    check_cascade,
)
from serving.bundles.registry import sync
from serving.inference.engine_selection import EngineName


@dataclass(frozen=True)
class Order:
    """What was asked for: a family of a registry, its texts in a build folder, and the target.

    `variants` are those that may be used, all when empty; `recalibrate` is a table of texts to
    order and test by; `engine` is what runs the variants, `auto` what serving would choose here.
    """

    family: str
    registry: Path
    build: Path
    target: Target
    variants: Sequence[str] = ()
    recalibrate: Path | None = None
    engine: EngineName | Literal["auto"] = "auto"

    def ask(self) -> Asked:
        """The family's variants with their answers and costs; raises as models.asked.ask."""
        return ask(
            self.family,
            self.registry,
            self.build,
            self.target,
            variants=self.variants,
            recalibrate=self.recalibrate,
            engine=self.engine,
        )


def target(**fields: Any) -> Target:
    """What is to be guaranteed.

    Raises RecipeError naming the option when one is out of range.
    """
    try:
        return Target(**fields)
    except ValidationError as error:
        first = error.errors()[0]
        option = str(first["loc"][0]).replace("_", "-")
        raise RecipeError(f"--{option} {first['input']}: {first['msg']}") from error


def run(order: Order, output: Path) -> None:
    """Write `cascade.json` beside the family's variants, and a picture into `output`.

    Raises RecipeError when there is no such cascade, or texts or variants are missing.
    """
    found = order.ask()
    selection, cascade = chosen(found, order.target)
    path = write(cascade, order.registry / order.family, found.manifests)
    print(report.words(cascade, found, selection))
    output.mkdir(parents=True, exist_ok=True)
    picture = output / report.PICTURE_NAME
    report.draw(cascade, found, selection, picture)
    print(f"Wrote {path} and {picture}")


def resplit(order: Order, times: int) -> None:
    """Print how often the guarantee is broken in so many re-splits, and what it costs.

    Raises as `run`.
    """
    if times < 1:
        raise RecipeError(f"--resplit {times}: a positive number is needed")
    found = order.ask()
    print(coverage_check.report(found.answers, found.problem(order.target), times))


def chosen(found: Asked, target: Target) -> tuple[Selection, Cascade]:
    """The cheapest cascade with the guarantee, judged once on the test split.

    Raises RecipeError when there is none: too few texts, or none that costs less.
    """
    problem = found.problem(target)
    selection = select(*found.answers[:2], problem)
    reference = found.manifests[problem.reference]
    if selection.chosen is None:
        raise RecipeError(refusal(selection, problem, reference))
    if selection.tested.cost(selection.chosen, problem.costs) >= problem.costs[problem.reference]:
        raise RecipeError(_no_cheaper(reference))
    return selection, _described(found, selection, selection.chosen, problem)


def write(cascade: Cascade, family: Path, manifests: Sequence[Manifest]) -> Path:
    """Put `cascade.json` into the family's folder, whole or not at all."""
    check_cascade(cascade, {manifest.variant: manifest for manifest in manifests})
    text = cascade.model_dump_json(indent=2) + "\n"
    staged = family / f".{CASCADE_NAME}.{os.getpid()}"
    staged.write_text(text, encoding="utf-8")
    sync(staged)
    staged.replace(family / CASCADE_NAME)
    sync(family)
    return family / CASCADE_NAME


def refusal(selection: Selection, problem: Problem, reference: Manifest) -> str:
    """Why there is no cascade, and how many texts there would have to be."""
    if not selection.sequence:
        return _no_cheaper(reference)
    target, texts = problem.target, selection.tested
    losses = texts.lost(selection.sequence[0])
    p_values = [p_value(losses, group[None], target) for group in texts.groups]
    worst = int(np.argmax(p_values))
    group = losses[texts.groups[worst]]
    whose = f" labelled {reference.labels[worst]}" if target.each_label else ""
    fewest = texts_needed(np.zeros(1), target)
    about = "" if target.loss == "agreement" else "about "
    said = (
        f"n = {group.size:,} texts{whose} cannot show a loss of at most {target.max_loss:.2%} at "
        f"{target.confidence:.0%}: with no loss at all it takes {about}{fewest or 0:,}"
    )
    if group.size:
        needed = texts_needed(group, target)
        number = f"about {needed:,}" if needed else "no number of texts would do"
        said += f"; at the loss seen of the safest candidate, {group.mean():.2%}, {number}"
    return f"{said}: hold out more texts for calibration, or raise --max-loss"


def _no_cheaper(reference: Manifest) -> str:
    return (
        f"no cascade of these variants costs less than {reference.variant} alone: "
        "serve that, or make smaller variants"
    )


def _described(found: Asked, selection: Selection, chain: Chain, problem: Problem) -> Cascade:
    """The cascade as it is written: expected from the tested texts, judged by the test split."""
    reference = found.manifests[problem.reference]
    tested, reached = selection.tested, selection.tested.reached(chain)
    losses = tested.lost(chain)
    agreement = replace(problem, target=problem.target.model_copy(update={"loss": "agreement"}))
    same = judged(found.answers[1], selection.calibrations, agreement)
    hits = found.hits(selection, problem)
    ordered, tests, judging = found.texts
    return Cascade(
        family=reference.family,
        stages=[
            Stage(
                variant=found.manifests[variant].variant,
                version=found.manifests[variant].version,
                calibration=None if threshold is None else selection.calibrations[variant],
                threshold=threshold,
                reach=float(reached[at].mean()),
                accuracy=proportion(hits(chain.until(at))),
            )
            for at, (variant, threshold) in enumerate(
                zip(chain.variants, (*chain.thresholds, None), strict=True)
            )
        ],
        reference=Reference(variant=reference.variant, version=reference.version),
        target=problem.target,
        loss=tested.worst(chain),
        bound=upper_bound(losses, tested.groups, problem.target),
        n=len(losses),
        disagreement=proportion(same.lost(chain) > 0),
        escalation=proportion(reached[1]),
        versus=paired(hits(chain), hits(Chain((problem.reference,), ()))),
        expected=_expected(found, chain, tested, problem),
        batch_texts=BATCH_TEXTS,
        ordered_sha256=ordered.sha256,
        tested_sha256=tests.sha256,
        judged_sha256=judging.sha256,
    )


def _expected(found: Asked, chain: Chain, tested: Judged, problem: Problem) -> Expected:
    """A text's latency is the sum over the stages that it visits, none of which it waits for."""
    alone_ms = 1000 * found.costs.alone_s
    visited = tested.reached(chain)[:, : alone_ms.shape[1]]
    own = np.quantile((visited * alone_ms[list(chain.variants)]).sum(axis=0), (0.5, 0.99))
    other = np.quantile(alone_ms[problem.reference], (0.5, 0.99))
    return Expected(
        cost_s=tested.cost(chain, problem.costs),
        p50_ms=own[0],
        p99_ms=own[1],
        reference_cost_s=problem.costs[problem.reference],
        reference_p50_ms=other[0],
        reference_p99_ms=other[1],
        machine=machine(),
    )
