"""Variant selection: the options that may answer a request, in order of preference. Pure."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate
from typing import NamedTuple

from serving.bundles.bundle import Manifest
from serving.bundles.cascade import Cascade
from serving.bundles.ranking import quality_of, ranked
from serving.errors import InvalidField, UnknownVariant
from serving.inference.inputs import Handling

AUTO = "auto"


@dataclass(frozen=True, slots=True)
class Option:
    """A way to answer: one variant, or the first stages of a cascade.

    `accuracy` is on the test split and `least_accuracy` the lower end of its 95 % interval; both
    are 0 if it was never measured. Where no variant's accuracy was, `accuracy` is the agreement
    with another bundle, which reaches no required accuracy. `cost` is the slot time of a text on
    this machine, relative to the family's costliest variant. `place` is that in the ranking of
    what has the same accuracy, 0 the best. Unless all its variants reach the family's floor it is
    `only_named`: it answers no request but one that names it.
    """

    variants: tuple[str, ...]
    accuracy: float
    least_accuracy: float
    cost: float
    place: int = 0
    only_named: bool = False


class Requirements(NamedTuple):
    """What a request requires: a variant by name, or an accuracy and a cost.

    `long` says what becomes of texts that are too long; None leaves it to the family.
    """

    variant: str = AUTO
    allow_degraded: bool = True
    min_accuracy: float | None = None
    max_cost: float | None = None
    long: Handling | None = None


ANY = Requirements()


def options_of(
    manifests: Sequence[Manifest],
    costs: Mapping[str, float],
    cascade: Cascade | None,
    below: Collection[str] = (),
) -> list[Option]:
    """List each variant alone, then the cascade up to each of its stages from the second on.

    `costs` may have any unit; `below` names the variants that do not reach the family's floor.
    """
    costliest = max(costs.values())
    relative = {variant: cost / costliest for variant, cost in costs.items()}
    quality = quality_of(manifests)
    places = {each.variant: place for place, each in enumerate(ranked(manifests))}
    options = []
    for manifest in manifests:
        least = manifest.judged.accuracy.low if manifest.judged else 0.0
        variant = manifest.variant
        option = Option((variant,), quality[variant], least, relative[variant], places[variant])
        options.append(replace(option, only_named=variant in below))
    stages = cascade.stages if cascade else []
    spent = list(accumulate(stage.reach * relative[stage.variant] for stage in stages))
    names = tuple(stage.variant for stage in stages)
    for depth in range(2, len(stages) + 1):
        last = stages[depth - 1].accuracy
        option = Option(names[:depth], last.value, last.low, spent[depth - 1])
        options.append(replace(option, only_named=not {*below}.isdisjoint(names[:depth])))
    return options


def select(
    options: Sequence[Option], requirements: Requirements, min_accuracy: float = 0.0
) -> list[Option]:
    """List the options that may answer: the intended one, then what replaces it under overload.

    A named variant has no replacement, nor has the cheapest option that reaches the required
    accuracy. Otherwise the intended option is the cascade, as far as `max_cost` allows, or the
    best variant if there is none. Where the request allows degrading, the Pareto frontier follows:
    each option cheaper and less accurate than the one before, none below the family's
    `min_accuracy`. `max_cost` bounds all.
    An accuracy is reached when the lower end of its interval is: a point estimate is as likely
    below the true accuracy as above it. What is `only_named` is none of all this.
    Raises UnknownVariant, and InvalidField if no option is accurate or cheap enough.
    """
    if requirements.variant != AUTO:
        return [_named(options, requirements.variant)]
    answering = [option for option in options if not option.only_named]
    cheap = _at_most(answering, requirements.max_cost)
    if requirements.min_accuracy is not None:
        where = "" if requirements.max_cost is None else " within max_cost"
        return [min(_at_least(cheap, requirements.min_accuracy, where), key=_by_cost)]
    # The guarantee is the whole cascade's, though its first stages may have been right as often.
    cascades = [option for option in cheap if len(option.variants) > 1]
    intended = max(cascades, key=_stages) if cascades else min(cheap, key=_by_preference)
    frontier = []
    if requirements.allow_degraded:
        best = -1.0
        for option in sorted(cheap, key=_by_cost):
            if option.accuracy > best and option.cost < intended.cost:
                best = option.accuracy
                frontier.append(option)
    return [intended, *(each for each in reversed(frontier) if each.least_accuracy >= min_accuracy)]


def _by_cost(option: Option) -> tuple[float, float, tuple[str, ...]]:
    return (option.cost, -option.accuracy, option.variants)


def _by_preference(option: Option) -> tuple[float, int, tuple[str, ...]]:
    return (-option.accuracy, option.place, option.variants)


def _stages(option: Option) -> int:
    return len(option.variants)


def _named(options: Sequence[Option], variant: str) -> Option:
    alone = {option.variants[0]: option for option in options if len(option.variants) == 1}
    if variant not in alone:
        raise UnknownVariant(
            f"there is no variant {variant!r}: name one of {sorted(alone)} or auto",
            field="variant",
            limit=[AUTO, *sorted(alone)],
            value=variant,
        )
    return alone[variant]


def _at_most(options: Sequence[Option], max_cost: float | None) -> list[Option]:
    if max_cost is None:
        return list(options)
    cheapest = min(option.cost for option in options)
    if max_cost < cheapest:
        raise InvalidField(
            "every variant that `auto` may choose costs more; see /v1/models",
            field="max_cost",
            limit=cheapest,
            value=max_cost,
        )
    return [option for option in options if option.cost <= max_cost]


def _at_least(options: Sequence[Option], min_accuracy: float, where: str) -> list[Option]:
    best = max(option.least_accuracy for option in options)
    if min_accuracy > best:
        agrees = ", only agreement with another" if any(each.accuracy for each in options) else ""
        lacks = f"has a measured accuracy{agrees}: leave out min_accuracy"
        if best:
            lacks = "is shown to have this accuracy"
        raise InvalidField(
            f"no variant that `auto` may choose{where} {lacks}; see /v1/models",
            field="min_accuracy",
            limit=best or None,
            value=min_accuracy,
        )
    return [option for option in options if option.least_accuracy >= min_accuracy]
