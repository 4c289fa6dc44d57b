"""The variants of one model, and which of them answers a request.

It does not know how a variant classifies.
"""

import asyncio
import random
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass

from serving.bundle import Manifest
from serving.classifier import Classified, Classifier, Terms
from serving.errors import Overloaded, ServedError, UnknownVariant
from serving.inputs import Row, Text
from serving.scheduler import VariantKey

AUTO = "auto"
_MOST_SHADOWS = 64


@dataclass(frozen=True, slots=True)
class FamilyAnswer:
    """One request's answers, and whether a smaller variant than intended gave them."""

    classified: Classified
    degraded: bool


@dataclass(frozen=True, slots=True)
class Served:
    """The classifiers of one variant: see Deployment."""

    live: Classifier
    canary: Classifier | None = None
    weight: float = 0.0
    shadow: Classifier | None = None
    share: float = 0.0


class Family:
    """All variants of one model."""

    def __init__(
        self,
        name: str,
        variants: Mapping[str, Served],
        on_shadow: Callable[[VariantKey, int, int], None],
        draw: Callable[[], float] = random.random,
    ) -> None:
        """`variants` are at least one; `on_shadow` hears a shadow's texts and disagreements."""
        self.name = name
        self.requests = 0
        """How many are being answered."""
        self._variants = variants
        self._on_shadow = on_shadow
        self._draw = draw
        self._shadows: set[asyncio.Task[None]] = set()
        self.manifests = [served.live.manifest for served in variants.values()]
        self.default_variant = by_preference(self.manifests)[0].variant

    @property
    def idle(self) -> bool:
        """Whether nothing is being answered, unseen answers included."""
        return not self.requests and not self._shadows

    def trying(self, variant: str) -> dict[str, str | float | None]:
        """The versions that are tried beside the live one, as VariantInfo names them."""
        served = self._variants[variant]
        return {
            "canary": served.canary.manifest.version if served.canary else None,
            "canary_weight": served.weight,
            "shadow": served.shadow.manifest.version if served.shadow else None,
        }

    async def classify(
        self,
        inputs: Sequence[Text | Row],
        terms: Terms,
        *,
        variant: str,
        allow_degraded: bool,
    ) -> FamilyAnswer:
        """Answer with the named variant, or with the first of the order that has room.

        Raises UnknownVariant, Overloaded when no eligible variant has room, and what
        Classifier.classify raises.
        """
        names = order(self.manifests, variant, allow_degraded)
        self.requests += 1
        try:
            for name in names:
                served = self._variants[name]
                canary = served.canary if self._draw() < served.weight else None
                try:
                    classified = await (canary or served.live).classify(inputs, terms)
                except Overloaded:
                    if name == names[-1]:
                        raise
                else:
                    if served.shadow and not canary and self._draw() < served.share:
                        self._compare(served.shadow, inputs, classified, terms)
                    return FamilyAnswer(classified, degraded=name != names[0])
        finally:
            self.requests -= 1
        raise AssertionError("order() is never empty: this is a bug")

    def _compare(
        self,
        shadow: Classifier,
        inputs: Sequence[Text | Row],
        classified: Classified,
        terms: Terms,
    ) -> None:
        """Ask the shadow too, after the answer; what it cannot answer in time is left out."""
        if len(self._shadows) >= _MOST_SHADOWS:
            return

        async def compare() -> None:
            with suppress(ServedError):
                unseen = await shadow.classify(inputs, terms)
                pairs = zip(classified.answers, unseen.answers, strict=True)
                different = sum(
                    classified.labels_of(ours) != unseen.labels_of(theirs) for ours, theirs in pairs
                )
                self._on_shadow(shadow.key, len(inputs), different)

        task = asyncio.create_task(compare())
        self._shadows.add(task)
        task.add_done_callback(self._shadows.discard)


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
