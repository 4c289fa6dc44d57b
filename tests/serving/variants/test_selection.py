"""Which variant answers: the policy, by its properties."""

import math
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving.errors import InvalidField, UnknownVariant
from serving.variants.selection import (
    AUTO,
    Offer,
    Wish,
    by_preference,
    ladder,
    most_accurate,
    offers,
)
from tests.support.bundles import manifest_of
from tests.support.cascades import cascade_of

SHARES = st.sampled_from([0.0, 0.7, 0.8, 0.85, 0.9])
FAMILIES = st.lists(st.tuples(SHARES, st.floats(0.01, 1)), min_size=1, max_size=6).map(
    lambda rows: [Offer((f"v{i}",), *row) for i, row in enumerate(rows)]
)


@st.composite
def with_a_cascade(draw):
    alone = draw(FAMILIES.filter(lambda offered: len(offered) > 1))
    depth = draw(st.integers(2, len(alone)))
    names = tuple(offer.variants[0] for offer in alone)
    longer = [
        Offer(names[:n], draw(SHARES), draw(st.floats(0.01, 1.5))) for n in range(2, depth + 1)
    ]
    return [*alone, *longer]


OFFERS = FAMILIES | with_a_cascade()


@given(OFFERS, st.booleans(), SHARES)
def test_each_rung_is_cheaper_and_less_accurate_than_the_one_above(offered, allow, floor):
    rungs = ladder(offered, Wish(allow_degraded=allow), floor)

    assert all(above.cost > below.cost for above, below in pairwise(rungs))
    below = rungs[1:]
    assert all(a.accuracy > b.accuracy for a, b in pairwise(below))
    assert all(offer.accuracy >= floor for offer in below)
    assert allow or len(rungs) == 1


@given(OFFERS)
def test_auto_is_the_cascade_or_the_most_accurate_variant(offered):
    first = ladder(offered, Wish())[0]

    cascades = [offer for offer in offered if len(offer.variants) > 1]
    assert first in (cascades or offered)
    assert first.accuracy == max(offer.accuracy for offer in cascades or offered)
    if not cascades:
        assert first.variants[0] == most_accurate(offered)


@given(OFFERS, st.booleans())
def test_a_named_variant_is_pinned(offered, allow):
    for each in offered:
        if len(each.variants) == 1:
            assert ladder(offered, Wish(each.variants[0], allow)) == [each]


@given(OFFERS, SHARES)
def test_never_a_variant_under_the_asked_accuracy_and_none_cheaper_would_do(offered, asked):
    best = max(offer.accuracy for offer in offered)
    wish = Wish(min_accuracy=asked)
    if asked > best:
        with pytest.raises(InvalidField) as refused:
            ladder(offered, wish)
        assert (refused.value.field, refused.value.limit) == ("min_accuracy", best)
        return
    (chosen,) = ladder(offered, wish)

    assert chosen.accuracy >= asked
    assert all(o.cost >= chosen.cost for o in offered if o.accuracy >= asked)


@given(OFFERS)
def test_asking_for_the_accuracy_of_a_variant_is_never_worse_than_naming_it(offered):
    for named in offered:
        (chosen,) = ladder(offered, Wish(min_accuracy=named.accuracy))

        assert chosen.accuracy >= named.accuracy
        assert chosen.cost <= named.cost


@given(OFFERS, st.floats(0.001, 2))
def test_nothing_costs_more_than_asked(offered, asked):
    cheapest = min(offer.cost for offer in offered)
    wish = Wish(max_cost=asked)
    if asked < cheapest:
        with pytest.raises(InvalidField) as refused:
            ladder(offered, wish)
        assert (refused.value.field, refused.value.limit) == ("max_cost", cheapest)
        return

    assert all(offer.cost <= asked for offer in ladder(offered, wish))


@given(OFFERS, st.floats(0.001, 2), st.floats(0.001, 2))
def test_who_allows_more_time_gets_no_less_accurate_an_answer(offered, one_s, other_s):
    """The first rung that is fast enough answers; the time of a rung grows with its cost."""

    def chosen(deadline_s):
        fast = [offer for offer in ladder(offered, Wish())[1:] if offer.cost <= deadline_s]
        return fast[0].accuracy if fast else -math.inf

    assert chosen(min(one_s, other_s)) <= chosen(max(one_s, other_s))


def test_an_unknown_variant_is_refused_with_the_names_that_there_are():
    with pytest.raises(UnknownVariant) as refused:
        ladder([Offer(("a",), 0.9, 1.0), Offer(("b",), 0.8, 0.5)], Wish("c"))

    assert refused.value.limit == [AUTO, "a", "b"]


def test_the_smaller_of_equally_accurate_variants_is_preferred():
    chosen = by_preference([manifest_of("big", 9, 0.9), manifest_of("small", 1, 0.9)])[0]

    assert chosen.variant == "small"


def test_a_cascade_costs_what_its_stages_are_reached():
    manifests = [manifest_of("tiny", 1, 0.8), manifest_of("wide", 9, 0.9)]
    cascade = cascade_of({"tiny": "0" * 16, "wide": "1" * 16}, threshold=0.9, reach=0.3)

    *alone, both = offers(manifests, {"tiny": 1.0, "wide": 4.0}, cascade)

    assert [(offer.variants, offer.cost) for offer in alone] == [(("tiny",), 0.25), (("wide",), 1)]
    assert both.variants == ("tiny", "wide")
    assert both.cost == pytest.approx(0.25 + 0.3)
