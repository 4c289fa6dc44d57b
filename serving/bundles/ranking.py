"""Ranks the variants of a family: what was measured, then what is known without measuring. Pure."""

from collections.abc import Iterable
from typing import get_args

from serving.bundles.bundle import Manifest, Precision

Rank = tuple[float, int, int, str]
_MOST_PRECISE_FIRST: tuple[Precision, ...] = get_args(Precision)


def best(manifests: Iterable[Manifest]) -> str:
    """Name the best variant of a family."""
    return ranked(manifests)[0].variant


def ranked(manifests: Iterable[Manifest]) -> list[Manifest]:
    """Sort the variants of a family, the best first.

    The measured `quality` decides, then the more precise number format, the fewer bytes, and the
    name. Speed does not, since each start measures it anew and replicas must agree.
    """
    listed = list(manifests)
    quality = quality_of(listed)

    def rank(manifest: Manifest) -> Rank:
        precision = _MOST_PRECISE_FIRST.index(manifest.precision)
        return (-quality[manifest.variant], precision, manifest.bytes, manifest.variant)

    return sorted(listed, key=rank)


def quality_of(manifests: Iterable[Manifest]) -> dict[str, float]:
    """Return each variant's accuracy, or if no variant has one its agreement; 0 if unmeasured.

    The variant that others were compared with agrees with itself.
    """
    listed = list(manifests)
    accuracies = {each.variant: each.judged.accuracy.value for each in listed if each.judged}
    found = {each.variant: each.agreement for each in listed if each.agreement}
    agreements = {variant: agreement.share.value for variant, agreement in found.items()}
    references = {(agreement.family, agreement.variant) for agreement in found.values()}
    for each in listed:
        if (each.family, each.variant) in references:
            agreements[each.variant] = 1.0
    measured = accuracies or agreements
    return {each.variant: measured.get(each.variant, 0.0) for each in listed}
