"""`python -m models cascade FAMILY`: selects a cascade of variants and writes cascade.json."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from models.cascade import report
from models.cascade.costs import Measure, machine, measured
from models.cascade.coverage_check import coverage, coverage_table
from models.cascade.looks import log
from models.cascade.observations import BATCH_TEXTS, Observations, observe
from models.cascade.options import CascadeOptions
from models.cascade.risk_control import p_value, texts_needed, upper_bound
from models.cascade.scored_texts import Candidate, Problem, scored, standard
from models.cascade.selection import Proposal, Selection, choose, propose
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
from serving.bundles.family_file import write_family_file


def run(options: CascadeOptions, output: Path, measure: Measure = measured) -> None:
    """Write `cascade.json` into the family's folder and a picture into `output`; print a report.

    The candidates are logged before they are tested, whatever comes of it. Raises RecipeError when
    there is no such cascade, or texts or variants are missing.
    """
    found = observe(options, measure)
    family = options.registry / options.family
    proposal = propose(found.logits[0], found.problem(options.target))
    looks = log(found.look(options.target, proposal.sequence), family)
    selection, cascade = choose_cascade(found, options.target, proposal)
    path = write(cascade, family, found.manifests)
    print(report.summary(cascade, found, selection, looks))
    output.mkdir(parents=True, exist_ok=True)
    picture = output / report.PICTURE_NAME
    report.draw(cascade, found, selection, picture)
    print(f"Wrote {path} and {picture}")


def check_coverage(options: CascadeOptions, times: int, measure: Measure = measured) -> None:
    """Print how often the target is missed in `times` re-splits, and what is saved.

    Raises as `run` does.
    """
    if times < 1:
        raise RecipeError(f"--resplit {times}: choose a positive number")
    found = observe(options, measure)
    log(found.look(options.target, None), options.registry / options.family)
    ways = coverage(found.logits, found.problem(options.target), times)
    print(coverage_table(ways, options.target))


def choose_cascade(
    found: Observations, target: Target, proposal: Proposal
) -> tuple[Selection, Cascade]:
    """Choose the cheapest cascade that meets the target, and judge it on the test split.

    Raises RecipeError when there is none: too few texts, or none that costs less.
    """
    problem = found.problem(target)
    reference = found.manifests[problem.reference]
    self_disagreement = found.self_disagreement(problem).value
    if target.loss == "agreement" and self_disagreement > target.max_loss:
        raise RecipeError(
            f"--max-loss {target.max_loss:g}: in batches of {BATCH_TEXTS} {reference.variant} "
            f"itself answers {self_disagreement:.2%} of the texts otherwise than alone: allow "
            "more, or use a reference whose answers do not depend on the batch"
        )
    selection = choose(proposal, found.logits[1], problem)
    if selection.chosen is None:
        raise RecipeError(refusal(selection, problem, reference))
    if selection.tested.cost(selection.chosen, problem.costs) >= problem.costs[problem.reference]:
        raise RecipeError(_no_cheaper(reference))
    return selection, _described(found, selection, selection.chosen, problem)


def write(cascade: Cascade, family: Path, manifests: Sequence[Manifest]) -> Path:
    """Write `cascade.json` into the family's folder, whole or not at all."""
    check_cascade(cascade, {manifest.variant: manifest for manifest in manifests})
    return write_family_file(family, CASCADE_NAME, cascade)


def refusal(selection: Selection, problem: Problem, reference: Manifest) -> str:
    """Explain why no candidate passed, and how many texts it would take."""
    if not selection.sequence:
        return _no_cheaper(reference)
    target, texts = problem.target, selection.tested
    losses = texts.lost(selection.sequence[0])
    p_values = [p_value(losses, group[None], target) for group in texts.groups]
    worst = int(np.argmax(p_values))
    group = losses[texts.groups[worst]]
    names = [*(f" labelled {label}" for label in reference.labels), " without a label"]
    labelled = names[worst] if target.each_label else ""
    fewest = texts_needed(np.zeros(1), target)
    at_least = f"{fewest:,}" if fewest else "too many"
    reason = (
        f"n = {group.size:,} texts{labelled} cannot show a loss of at most {target.max_loss:.2%} "
        f"at {target.confidence:.0%}: even without any loss it takes {at_least} texts"
    )
    if group.size:
        needed = texts_needed(group, target)
        number = f"it takes about {needed:,}" if needed else "no number of texts is enough"
        reason += f"; at the safest candidate's observed loss, {group.mean():.2%}, {number}"
    return (
        f"{reason}: hold out more texts for calibration (`calibration_share` in the recipe's "
        "[data]), or raise --max-loss"
    )


def _no_cheaper(reference: Manifest) -> str:
    return (
        f"no cascade of these variants costs less than {reference.variant} alone: "
        f"serve {reference.variant}, or make smaller variants"
    )


def _described(
    found: Observations, selection: Selection, candidate: Candidate, problem: Problem
) -> Cascade:
    """Describe a candidate: expected values from the tested texts, accuracy from the test split."""
    reference = found.manifests[problem.reference]
    tested, reached = selection.tested, selection.tested.reached(candidate)
    losses = tested.lost(candidate)
    agreement = replace(problem, target=problem.target.model_copy(update={"loss": "agreement"}))
    same = scored(found.logits[1], selection.calibrations, agreement)
    hits = found.hits(selection, problem)
    ordered, tests, judged = found.texts
    its_manifests = [found.manifests[number] for number in candidate.variants]
    used = {each.variant for each in its_manifests} | {reference.variant}
    early = None if found.early_labels is None else list(found.early_labels)
    return Cascade(
        family=reference.family,
        stages=[
            Stage(
                variant=found.manifests[variant].variant,
                version=found.manifests[variant].version,
                calibration=None if threshold is None else selection.calibrations[variant],
                threshold=threshold,
                early_labels=None if threshold is None else early,
                confidences=None if threshold is None else tested.confidences(variant, reached[at]),
                reach=float(reached[at].mean()),
                accuracy=proportion(hits(candidate.until(at))),
            )
            for at, (variant, threshold) in enumerate(
                zip(candidate.variants, (*candidate.thresholds, None), strict=True)
            )
        ],
        reference=Reference(variant=reference.variant, version=reference.version),
        target=problem.target,
        loss=tested.worst(candidate),
        bound=upper_bound(losses, tested.groups, problem.target),
        n=len(losses),
        unlabelled=_unlabelled(found, problem),
        disagreement=proportion(same.lost(candidate) > 0),
        escalation=proportion(reached[1]),
        versus=paired(hits(candidate), found.reference_hits(problem)),
        expected=_expected(found, selection, candidate, problem),
        long="windows" if found.windows else "truncate",
        windows_hash=found.windows and found.windows.fingerprint(its_manifests),
        batch_texts=BATCH_TEXTS,
        ordered_sha256=ordered.sha256,
        tested_sha256=tests.sha256,
        judged_sha256=judged.sha256,
        self_disagreement=found.self_disagreement(problem),
        engines={name: found.engines[name] for name in sorted(used) if name in found.engines},
    )


def _unlabelled(found: Observations, problem: Problem) -> int | None:
    if problem.problem_type != "multi_label" or not problem.target.each_label:
        return None
    return int((~standard(found.logits[1], problem).any(axis=1)).sum())


def _expected(
    found: Observations, selection: Selection, candidate: Candidate, problem: Problem
) -> Expected:
    """Cost and latency without queueing: a text's latency is the sum over its stages.

    Texts were timed where candidates were ordered, so that testing them stays their only use.
    """
    latencies_ms = 1000 * found.costs.latencies_s
    timed = scored(found.logits[0], selection.calibrations, problem)
    visited = timed.reached(candidate)[:, : latencies_ms.shape[1]]
    own = np.quantile((visited * latencies_ms[list(candidate.variants)]).sum(axis=0), (0.5, 0.99))
    other = np.quantile(latencies_ms[problem.reference], (0.5, 0.99))
    return Expected(
        cost_s=selection.tested.cost(candidate, problem.costs),
        p50_ms=own[0],
        p99_ms=own[1],
        reference_cost_s=problem.costs[problem.reference],
        reference_p50_ms=other[0],
        reference_p99_ms=other[1],
        machine=machine(),
    )
