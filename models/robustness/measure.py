"""The command `stress`: what altered texts do to a family's variants."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from models.evaluation import simultaneous
from models.evaluation.predictions import predicted
from models.evaluation.statistics import Flags, Floats
from models.perturbations.kinds import KEEP_MEANING
from models.perturbations.names import Perturbation
from models.perturbations.negation import NEGATIVE, POSITIVE, pairs
from models.progress import progress
from models.published.publishing import publish_measured
from models.published.texts import Columns
from models.reports import robustness_tables
from models.reports.files import figures_of, write_report
from models.reports.robustness_plot import draw
from models.robustness.answers import Variant, variants_of
from models.robustness.conditions import altered_by, answered
from models.robustness.figures import Answered, figures, negations
from models.robustness.texts import texts_of
from models.robustness.worst_case import flipped, margins
from serving.bundles.bundle import CARD_NAME
from serving.bundles.evaluation import Negations, Robustness, WorstCase


@dataclass(frozen=True)
class Wanted:
    """Which kinds, on how many texts, and the worst case of how many within how many queries."""

    kinds: Sequence[Perturbation]
    texts: int
    searched: int
    queries: int
    seed: int = 0
    reference: str = ""
    """The variant to compare with; empty is the first in order of precision."""


def stress(
    target: str,
    files: Sequence[Path],
    columns: Columns,
    registry: Path,
    *,
    build: Path,
    output: Path,
    wanted: Wanted,
    tell: Callable[[str], None] = print,
) -> None:
    """Measure FAMILY's variants, or FAMILY/VARIANT, on altered texts, against the reference.

    The figures go into `output`, then into each variant's manifest and card in the registry. What
    has been answered is kept in `build`. Raises RecipeError or BundleError in a sentence.
    """
    family = target.partition("/")[0]
    variants, chosen, reference = variants_of(
        target, registry, build / "cache" / "stress", wanted.reference, tell
    )
    first = variants[reference]
    texts = texts_of(first.bundle, files, columns, build).drawn(wanted.texts, wanted.seed)
    plain = [str(text) for text in texts.texts]
    conditions, altered = altered_by(plain, wanted.kinds, wanted.seed)
    found = answered(variants, texts, [plain, *altered])
    measured = figures(found, conditions, reference)
    worst = _worst_cases(variants, found, plain, wanted) if wanted.queries else {}
    # The largest of some kinds would pass for that of all.
    partly = {} if {*KEEP_MEANING} <= {*wanted.kinds} else {"largest_drop": None}
    result = {
        name: Robustness(
            reference=reference,
            reference_version=first.manifest.version,
            texts_sha256=texts.sha256,
            n=len(plain),
            seed=wanted.seed,
            variants=len(variants),
            **vars(measured[name]) | partly,
            negations=_negations(each),
            worst_case=worst.get(name),
        )
        for name, each in variants.items()
    }
    tables = robustness_tables.report(family, result)
    tell(tables)
    tell(robustness_tables.advice(result))
    figures_json = figures_of(family, result)
    tell(write_report(output, "stress", tables, figures_json, partial(draw, family, result)))
    for name in chosen:
        fields = {"robustness": result[name]}
        done = publish_measured(variants[name].bundle, fields, registry, tell)
        tell(f"Wrote {done.path(CARD_NAME)}")


def _worst_cases(
    variants: Mapping[str, Variant],
    found: Mapping[str, Answered],
    plain: Sequence[str],
    wanted: Wanted,
) -> dict[str, WorstCase]:
    count = min(wanted.searched, len(plain))
    flips = []
    for name, each in variants.items():
        answers = found[name].answers()[0]
        with progress(total=count, does=f"worst case of {name}", units="texts") as bar:
            flips.append(_flipped(each, answers, plain[:count], wanted, bar.update))
    return {
        name: WorstCase(n=count, queries=wanted.queries, flipped=share)
        for name, share in zip(variants, simultaneous.shares(np.stack(flips)), strict=True)
    }


def _flipped(
    variant: Variant,
    answers: Flags,
    texts: Sequence[str],
    wanted: Wanted,
    done: Callable[[], object],
) -> Flags:
    def score(candidates: Sequence[str], of: Sequence[int]) -> Floats:
        rows = variant.logits(candidates)
        kind = variant.problem_type
        return np.concatenate(
            [margins(row[None], answers[at], kind) for row, at in zip(rows, of, strict=True)]
        )

    return flipped(texts, score, wanted.queries, wanted.seed, done)


def _negations(variant: Variant) -> Negations | None:
    labels = variant.manifest.labels
    found = pairs(labels)
    if not found:
        return None
    truth, answers = [], []
    for name, its in (
        (POSITIVE, [each.positive for each in found]),
        (NEGATIVE, [each.negative for each in found]),
    ):
        truth.append(np.array([[label == name for label in labels]] * len(its)))
        answers.append(predicted(variant.logits(its), variant.problem_type))
    return negations((answers[0], answers[1]), (truth[0], truth[1]))
