"""The variants of one model, and which of them answers a request.

It does not know how a variant classifies.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from serving.bundle import Manifest
from serving.classifier import Classified, Classifier
from serving.errors import Overloaded, UnknownVariant
from serving.inputs import Row, Text

AUTO = "auto"


@dataclass(frozen=True, slots=True)
class FamilyAnswer:
    """One request's answers, and whether a smaller variant than intended gave them."""

    classified: Classified
    degraded: bool


class Family:
    """All variants of one model."""

    def __init__(self, name: str, classifiers: Sequence[Classifier]) -> None:
        """`classifiers` are all of the family's variants, at least one."""
        self.name = name
        self._by_variant = {classifier.manifest.variant: classifier for classifier in classifiers}
        self.manifests = [classifier.manifest for classifier in classifiers]
        self.default_variant = by_preference(self.manifests)[0].variant

    async def classify(
        self,
        inputs: Sequence[Text | Row],
        *,
        variant: str,
        truncate: bool,
        deadline_s: float,
        allow_degraded: bool,
    ) -> FamilyAnswer:
        """Answer with the named variant, or with the first of the order that has room.

        Raises UnknownVariant, Overloaded when no eligible variant has room, and what
        Classifier.classify raises.
        """
        names = order(self.manifests, variant, allow_degraded)
        for name in names:
            try:
                classified = await self._by_variant[name].classify(
                    inputs, truncate=truncate, deadline_s=deadline_s
                )
            except Overloaded:
                if name == names[-1]:
                    raise
            else:
                return FamilyAnswer(classified, degraded=name != names[0])
        raise AssertionError("order() is never empty: this is a bug")


def by_preference(manifests: Sequence[Manifest]) -> list[Manifest]:
    """The most accurate first (accuracy on the test split, unknown last), then the smaller."""

    def rank(manifest: Manifest) -> tuple[float, int, str]:
        judged = manifest.judged
        return (-judged.accuracy.value if judged else 0.0, manifest.bytes, manifest.variant)

    return sorted(manifests, key=rank)


def order(manifests: Sequence[Manifest], variant: str, allow_degraded: bool) -> list[str]:
    """Names of the variants that may answer, in the order to try them. Pure.

    A named variant is pinned. `auto` is the preferred variant and, when degrading is allowed,
    after it every smaller one by falling size. Raises UnknownVariant.
    """
    if variant != AUTO:
        known = [manifest.variant for manifest in manifests]
        if variant not in known:
            raise UnknownVariant(
                f"there is no variant {variant!r}: name one of {sorted(known)} or auto",
                field="variant",
                limit=[AUTO, *sorted(known)],
                value=variant,
            )
        return [variant]
    first = by_preference(manifests)[0]
    smaller = [manifest for manifest in manifests if manifest.bytes < first.bytes]
    smaller.sort(key=lambda manifest: manifest.bytes, reverse=True)
    return [first.variant, *(m.variant for m in smaller if allow_degraded)]
