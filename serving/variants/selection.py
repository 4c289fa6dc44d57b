"""Which variant answers: a ladder, the intended way first and cheaper ones below. Pure.

It does not know who asks, how a variant classifies or how much there is to do.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate

from serving.bundles.bundle import Manifest
from serving.bundles.cascade import Cascade
from serving.errors import InvalidField, UnknownVariant

AUTO = "auto"


@dataclass(frozen=True, slots=True)
class Offer:
    """A way to answer: one variant, or several in turn until one is sure.

    `accuracy` is that of the test split, 0 where it was never measured. `cost` is slot time a text
    on this machine, in parts of the family's costliest variant.
    """

    variants: tuple[str, ...]
    accuracy: float
    cost: float


@dataclass(frozen=True, slots=True)
class Wish:
    """Which variant a request wants: a name, or by what it must reach and may cost."""

    variant: str = AUTO
    allow_degraded: bool = True
    min_accuracy: float | None = None
    max_cost: float | None = None


ANY = Wish()


def offers(
    manifests: Sequence[Manifest], text_ms: Mapping[str, float], cascade: Cascade | None
) -> list[Offer]:
    """Each variant alone, then the cascade after each of its stages from the second on."""
    costliest_ms = max(text_ms.values())
    costs = {variant: ms / costliest_ms for variant, ms in text_ms.items()}
    found = [
        Offer((m.variant,), m.judged.accuracy.value if m.judged else 0.0, costs[m.variant])
        for m in manifests
    ]
    stages = cascade.stages if cascade else []
    spent = list(accumulate(stage.reach * costs[stage.variant] for stage in stages))
    names = tuple(stage.variant for stage in stages)
    for depth in range(2, len(stages) + 1):
        last = stages[depth - 1]
        found.append(Offer(names[:depth], last.accuracy.value, spent[depth - 1]))
    return found


def ladder(offered: Sequence[Offer], wish: Wish, min_accuracy: float = 0.0) -> list[Offer]:
    """What may answer: the intended offer first, below it what stands in under overload. Pure.

    A named variant is pinned. With `min_accuracy` it is the cheapest offer that has it, and nothing
    stands in. Otherwise the cascade, or without one the most accurate; below it, where degrading is
    allowed, the frontier: each cheaper and less accurate than the one before, and none under the
    family's `min_accuracy`. `max_cost` holds for all.
    Raises UnknownVariant, and InvalidField where nothing is as accurate or as cheap.
    """
    if wish.variant != AUTO:
        return [_named(offered, wish.variant)]
    cheap = _at_most(offered, wish.max_cost)
    if wish.min_accuracy is not None:
        return [min(_at_least(cheap, wish.min_accuracy), key=_by_cost)]
    first = max(cheap, key=lambda offer: (len(offer.variants) > 1, *_by_accuracy(offer)))
    below = []
    if wish.allow_degraded:
        best = -1.0
        for offer in sorted(cheap, key=_by_cost):
            if offer.accuracy > best and offer.cost < first.cost:
                best = offer.accuracy
                below.append(offer)
    return [first, *(each for each in reversed(below) if each.accuracy >= min_accuracy)]


def _by_cost(offer: Offer) -> tuple[float, float, tuple[str, ...]]:
    return (offer.cost, -offer.accuracy, offer.variants)


def _by_accuracy(offer: Offer) -> tuple[float, float, tuple[str, ...]]:
    return (offer.accuracy, -offer.cost, offer.variants)


def _named(offered: Sequence[Offer], variant: str) -> Offer:
    alone = {offer.variants[0]: offer for offer in offered if len(offer.variants) == 1}
    if variant not in alone:
        raise UnknownVariant(
            f"there is no variant {variant!r}: name one of {sorted(alone)} or auto",
            field="variant",
            limit=[AUTO, *sorted(alone)],
            value=variant,
        )
    return alone[variant]


def _at_most(offered: Sequence[Offer], max_cost: float | None) -> list[Offer]:
    if max_cost is None:
        return list(offered)
    cheapest = min(offer.cost for offer in offered)
    if max_cost < cheapest:
        raise InvalidField(
            "no variant costs so little: see /v1/models",
            field="max_cost",
            limit=cheapest,
            value=max_cost,
        )
    return [offer for offer in offered if offer.cost <= max_cost]


def _at_least(offered: Sequence[Offer], min_accuracy: float) -> list[Offer]:
    best = max(offer.accuracy for offer in offered)
    if min_accuracy > best:
        raise InvalidField(
            "no variant that may answer was measured to be so accurate: see /v1/models",
            field="min_accuracy",
            limit=best,
            value=min_accuracy,
        )
    return [offer for offer in offered if offer.accuracy >= min_accuracy]


def most_accurate(offered: Sequence[Offer]) -> str:
    """The variant that answers `auto` where there is no cascade."""
    alone = [offer for offer in offered if len(offer.variants) == 1]
    return max(alone, key=_by_accuracy).variants[0]


def by_preference(manifests: Sequence[Manifest]) -> list[Manifest]:
    """The most accurate first (accuracy on the test split, unknown last), then the smaller."""

    def rank(manifest: Manifest) -> tuple[float, int, str]:
        judged = manifest.judged
        return (-judged.accuracy.value if judged else 0.0, manifest.bytes, manifest.variant)

    return sorted(manifests, key=rank)
