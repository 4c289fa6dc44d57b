"""Texts altered by kind and strength, and what variants answer to them."""

from collections.abc import Mapping, Sequence

import numpy as np

from models.perturbations.kinds import KINDS, perturbed
from models.perturbations.names import Perturbation
from models.progress import progress
from models.published.texts import UserTexts
from models.robustness.answers import Variant
from models.robustness.figures import Answered, Condition
from serving.errors import BundleError


def altered_by(
    plain: Sequence[str], kinds: Sequence[Perturbation], seed: int
) -> tuple[list[Condition], list[list[str]]]:
    """Return the conditions that alter some text, and the texts of each.

    Raises BundleError if there is none.
    """
    conditions, altered = [], []
    for kind in kinds:
        for strength in KINDS[kind].strengths:
            its = perturbed(plain, kind, strength, seed)
            share = float(np.mean([a != b for a, b in zip(plain, its, strict=True)]))
            if share:
                conditions.append(Condition(kind, strength, share))
                altered.append(its)
    if not conditions:
        raise BundleError("none of these kinds alters any of the texts: name other kinds")
    return conditions, altered


def answered(
    variants: Mapping[str, Variant], texts: UserTexts, asked: Sequence[list[str]]
) -> dict[str, Answered]:
    """Run all variants on all the texts `asked`, of which the first are unaltered."""
    found = {}
    with progress(total=len(variants) * len(asked), does="stress", units="runs") as bar:
        for name, each in variants.items():
            logits = []
            for its in asked:
                logits.append(each.logits(its))
                bar.update()
            manifest = each.manifest
            found[name] = Answered(
                texts.truth(manifest.labels),
                np.stack(logits),
                each.problem_type,
                manifest.temperature,
            )
    return found
