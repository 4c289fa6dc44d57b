"""The end of a run: the family's report, a cascade if there is one, and which variant to serve."""

from collections.abc import Collection, Sequence
from pathlib import Path

import numpy as np

from models.cascade import build as cascade
from models.cascade.looks import is_looked_for
from models.cascade.options import CascadeOptions, parse_target
from models.compression.advice import Advice, advise, beside, comparison
from models.compression.wanted import Wanted
from models.evaluation.predictions import Predictor
from models.recipe import RecipeError
from models.reports import family_report
from serving.bundles.bundle import Bundle, Manifest
from serving.bundles.cascade import CASCADE_NAME, Cascade, Target, check_cascade
from serving.bundles.family_file import read_family_file
from serving.bundles.registry import read_registry
from serving.errors import SizewiseError

_LONE_TEXTS = 100
_CONFIDENCE = 0.95
_FEWEST_VARIANTS = 2


def finish(
    wanted: Wanted,
    teacher: str,
    variants: Collection[str],
    texts: Sequence[str],
    *,
    output: Path,
    unmade: Sequence[int] = (),
) -> Advice:
    """Report on the family and advise which of this run's `variants` to serve.

    `unmade` are the bytes of those that there was no time for. Raises RecipeError if nothing is
    published, so that there is nothing to report on.
    """
    families = read_registry(wanted.registry) if wanted.registry.is_dir() else {}
    there = families.get(wanted.family, [])
    bundles = [each for each in there if each.manifest.variant in variants]
    if not bundles:
        raise RecipeError(f"no variant of {wanted.family} is published: see the reasons above")
    family_report.report(wanted.family, wanted.registry, output)
    if others := [each.manifest.variant for each in there if each.manifest.variant not in variants]:
        print(
            f"Not of this run, so not compared: {', '.join(others)}. They are served all the same: "
            f"remove what is old from {wanted.registry / wanted.family}"
        )
    latencies_ms = {each.manifest.variant: lone_ms(each, texts) for each in bundles}
    manifests = [each.manifest for each in bundles]
    print(f"\n{comparison(manifests, latencies_ms, teacher)}")
    longest = min(each.max_length for each in manifests)
    print(f"Texts of more than {longest} tokens are refused unless a request allows to cut them.")
    return advise(manifests, latencies_ms, teacher, wanted, unmade)


def lone_ms(bundle: Bundle, texts: Sequence[str]) -> float:
    """Measure the median time of single texts, in milliseconds."""
    return 1000 * float(np.median(Predictor(bundle).latencies_s(texts[:_LONE_TEXTS])))


def make_cascade(
    wanted: Wanted, variants: Collection[str], advised: str | None, build: Path, output: Path
) -> str | None:
    """Make a cascade that loses at most the wanted drop, or say why there is none.

    Returns what it gains and loses beside the `advised` variant.

    There is none beside variants that are not of this run, which it could not keep apart.

    Of the same variants it is made once: another look at the texts would cost the guarantee.
    """
    target = parse_target(
        loss="accuracy", each_label=False, max_loss=wanted.max_drop, confidence=_CONFIDENCE
    )
    manifests = [each.manifest for each in read_registry(wanted.registry)[wanted.family]]
    if any(each.variant not in variants for each in manifests):
        print("No cascade: there are variants that are not of this run")
        return None
    if len(manifests) < _FEWEST_VARIANTS:
        return None
    family = wanted.registry / wanted.family
    try:
        if is_looked_for(target, manifests, family):
            _check_there(family, manifests, target)
        else:
            cascade.run(CascadeOptions(wanted.family, wanted.registry, build, target), output)
        found = read_family_file(family, CASCADE_NAME, Cascade)
    except (RecipeError, SizewiseError) as error:
        print(f"No cascade: {error}".replace("--max-loss", "--max-drop"))
        return None
    return beside(found, manifests, advised, wanted) if found else None


def _check_there(family: Path, manifests: Sequence[Manifest], target: Target) -> None:
    """Raise RecipeError or BundleError unless the cascade is there that was looked for before."""
    there = read_family_file(family, CASCADE_NAME, Cascade)
    if there is None or there.target != target:
        other = ": there is only one with another limit" if there else ""
        raise RecipeError(
            f"a cascade of these variants with this limit was looked for before{other}; "
            "`python -m models cascade` looks again, which weakens its guarantee"
        )
    check_cascade(there, {each.variant: each for each in manifests})
    print(f"{family / CASCADE_NAME} is up to date")
