"""The gate `max_stress_drop`: what altering texts of the test split costs a variant."""

from pathlib import Path

from models.perturbations.kinds import KEEP_MEANING, in_words
from models.recipe import RecipeError
from models.robustness.answers import Variant
from models.robustness.conditions import altered_by, answered
from models.robustness.figures import figures
from models.robustness.texts import held_out
from serving.bundles.bundle import JUDGED_SPLIT, Bundle
from serving.bundles.evaluation import Robustness

MOST_TEXTS = 1000
"""Texts that are altered, drawn at random, as by `python -m models stress`."""
_SEED = 0


def of_altered_texts(bundle: Bundle, data: Path, kept: Path | None) -> Robustness:
    """Run a bundle on altered texts, by all kinds that keep their meaning, and compute its figures.

    It is compared with no other. What it answered is kept in the folder `kept`, if there is one.
    Raises BundleError when it cannot run.
    """
    name = bundle.manifest.variant
    texts = held_out(data).drawn(MOST_TEXTS, _SEED)
    plain = [str(text) for text in texts.texts]
    conditions, altered = altered_by(plain, KEEP_MEANING, _SEED)
    found = answered({name: Variant(bundle, kept)}, texts, [plain, *altered])
    return Robustness(
        reference=name,
        reference_version=bundle.manifest.version,
        texts_sha256=texts.sha256,
        n=len(plain),
        seed=_SEED,
        variants=1,
        **vars(figures(found, conditions, name)[name]),
    )


def check_stress_drop(variant: str, found: Robustness, most: float) -> None:
    """Raise RecipeError unless every drop is shown to be at most `most`."""
    largest = found.largest_drop
    assert largest is not None, "this is a bug: the kinds keep the meaning"
    if largest.drop.high > most:
        raise RecipeError(
            f"{variant}: the drop of accuracy under {largest.kind} "
            f"({in_words(largest.kind, largest.strength)}) in {found.n:,} texts of the "
            f"{JUDGED_SPLIT} split is {largest.drop.value:.4f}, at 95 % at most "
            f"{largest.drop.high:.4f}, which is above max_stress_drop {most:g}, so the variant is "
            "not published: train on altered copies (`augmented_by`), hold out more texts, up to "
            f"{MOST_TEXTS:,}, which narrows the interval, or raise max_stress_drop in [gates]"
        )
