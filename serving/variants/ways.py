"""How an option is run: its variants in turn, each with its test for being sure. Pure."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple

from serving.bundles.cascade import Stage
from serving.variants.selection import Option, Requirements

Sure = Callable[[Sequence[float]], bool]


class Way(NamedTuple):
    """How to run: `replaces` what was intended, `cascades` as intended, maybe `shortened`."""

    stages: list[tuple[str, Sure | None]]
    replaces: bool
    cascades: bool
    shortened: bool


def ways_of(
    select_options: Callable[[Requirements], Sequence[Option]],
    requirements: Requirements,
    *,
    stages: Sequence[Stage],
    labels: Sequence[str],
    multi_label: bool,
) -> list[Way]:
    """List how each selected option is run: its variants, each with its test for being sure.

    None accepts any answer. A cascade that replaces a longer one keeps the longer one's thresholds
    to its end.
    """
    options = select_options(requirements)
    intended = options[0]
    sure: list[Sure | None] = []
    if len(intended.variants) > 1:
        sure = [partial(each.sure, labels=labels, multi_label=multi_label) for each in stages]
    sure[len(intended.variants) - 1 :] = [None]
    ways = []
    for option in options:
        differs = _differ(option, intended)
        tests = [None] * len(option.variants) if differs else sure
        cascades = option is intended and len(option.variants) > 1
        shortened = cascades and len(option.variants) < len(stages)
        tested = list(zip(option.variants, tests, strict=False))
        ways.append(Way(tested, differs, cascades, shortened))
    return ways


def _differ(option: Option, intended: Option) -> bool:
    return option.variants != intended.variants[: len(option.variants)]
