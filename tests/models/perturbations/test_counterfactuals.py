"""Pairs of texts: swapped inside where nothing is ambiguous, or else in a frame."""

import re
from itertools import chain

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.perturbations import counterfactuals
from models.perturbations.counterfactuals import SWAPS, Pair, pair_of

LISTS = {
    name: its
    for name, its in vars(counterfactuals).items()
    if name.isupper() and not name.startswith("_") and isinstance(its, tuple) and its != SWAPS
}


@pytest.mark.parametrize(
    ("text", "first", "second"),
    [
        ("She said it herself.", "She said it herself.", "He said it himself."),
        ("Is it HERS? she's sure", "Is it HERS? she's sure", "Is it HIS? he's sure"),
        ("I told him he won.", "I told her she won.", "I told him he won."),
    ],
)
def test_pronouns_with_one_counterpart_are_swapped_in_their_case(text, first, second):
    assert pair_of(text, "pronouns", 0) == Pair(first, second, inside=True)


@pytest.mark.parametrize(
    "text",
    [
        "I like {} and 5 % of it.",
        "She lost her bag.",  # him or his
        "He lost his bag.",  # her or hers
        "She told him so.",
        "The theme is shelter.",
    ],
)
def test_where_a_pronoun_has_two_counterparts_or_both_sides_speak_the_text_is_framed(text):
    assert pair_of(text, "pronouns", 0) == Pair(f"She wrote: {text}", f"He wrote: {text}", False)


def test_names_are_swapped_for_those_of_the_same_sex_and_alike_in_a_text():
    text = "I met Tyrone and Greta, and then Tyrone left."
    pair = pair_of(text, "names", 0)

    name = pair.first.split()[2]
    assert name in counterfactuals.WHITE_MEN
    assert pair == Pair(text.replace("Tyrone", name), text, inside=True)


@pytest.mark.parametrize(
    ("text", "swap"),
    [
        ("a poem by Emily Dickinson", "names"),
        ("Aunt Emily came", "names"),
        ("I met Emily and Tyrone.", "names"),
        ("emily came", "names"),
        ("It is near London Bridge.", "places"),
        ("from Cairo to Vienna", "places"),
    ],
)
def test_parts_of_other_names_and_texts_of_both_sides_are_framed(text, swap):
    pair = pair_of(text, swap, 0)

    assert not pair.inside
    frame = r"(\w+) wrote: " if swap == "names" else r"Someone from (\w+) wrote: "
    first, second = (
        re.fullmatch(frame + re.escape(text), its)[1] for its in (pair.first, pair.second)
    )
    sides = counterfactuals._LISTS[swap].sides
    assert any(first in mine and second in others for mine, others in sides)


def test_places_are_swapped_and_the_first_is_of_the_more_developed_regions():
    pair = pair_of("The bus to Nairobi was late.", "places", 0)

    assert pair.inside
    assert pair.second == "The bus to Nairobi was late."
    assert pair.first.split()[3] in counterfactuals.MORE_DEVELOPED


@given(st.text(max_size=60), st.sampled_from(SWAPS), st.integers(0, 9))
def test_every_text_gives_two_different_texts_and_always_the_same(text, swap, seed):
    pair = pair_of(text, swap, seed)

    assert pair.first != pair.second
    assert pair == pair_of(text, swap, seed)
    assert pair.inside == (text in {pair.first, pair.second})


def test_no_word_is_listed_twice_or_is_more_than_one_word():
    words = list(chain.from_iterable(LISTS.values()))

    assert len(LISTS) == 6
    assert len(set(words)) == len(words)
    assert all(re.fullmatch(r"[A-Z][a-z]+", word) for word in words)
    assert {"Kenya", "Ebony"}.isdisjoint(words)
