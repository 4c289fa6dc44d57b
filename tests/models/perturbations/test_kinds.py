"""Every kind of perturbation: seeded, bounded, never an empty text, and at the stated strength."""

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.perturbations import kinds
from models.perturbations.kinds import KINDS, in_words, perturbed, taught

EVERY = [(kind, strength) for kind, each in KINDS.items() for strength in each.strengths]
TEXT = "The film's plot is good, but the actors are rather dull and the ending is far too long."
texts = st.text(min_size=1, max_size=80).filter(lambda text: text.strip())


def altered(text, kind, strength, seed=0):
    return perturbed([text], kind, strength, seed)[0]


@pytest.mark.parametrize(("kind", "strength"), EVERY)
@given(text=texts, seed=st.integers(0, 3))
def test_a_text_stays_one_of_valid_utf_8_that_is_not_empty_or_much_longer(
    kind, strength, text, seed
):
    made = altered(text, kind, strength, seed)

    assert made.strip()
    assert made.encode().decode() == made
    # The longest frames and sentences have fewer than 50 characters.
    assert len(made) <= 3 * len(text) + 50 * max(strength, 1)
    assert made == altered(text, kind, strength, seed)
    assert taught(text, kind, Random(seed)).strip()


@pytest.mark.parametrize(("kind", "strength"), EVERY)
def test_a_text_is_altered_alike_whichever_others_are_and_otherwise_by_another_seed(kind, strength):
    alone = perturbed([TEXT], kind, strength, 0)[0]

    assert alone != TEXT
    assert perturbed(["other", TEXT, TEXT], kind, strength, 0)[1:] == [alone, alone]
    if kind != "truncation" and (kind, strength) != ("case", 1.0):
        assert len({altered(TEXT, kind, strength, seed) for seed in range(10)}) > 3


@pytest.mark.parametrize(
    "kind", ["typos", "doubled", "dropped", "confusables", "invisible", "case"]
)
@given(share=st.floats(0.01, 1.0))
def test_that_share_of_the_words_is_altered_and_one_at_least(kind, share):
    text = " ".join(["word"] * 20)

    made = KINDS[kind].alter(text, share, Random(0))

    assert sum(word != "word" for word in made.split()) == max(1, round(20 * share))


@pytest.mark.parametrize(
    ("kind", "longer"), [("typos", 0), ("doubled", 1), ("dropped", -1), ("confusables", 0)]
)
def test_a_word_is_altered_by_one_letter(kind, longer):
    made = altered("wonderful", kind, 0.1)

    assert len(made) == len("wonderful") + longer
    assert made != "wonderful"


@given(text=texts, strength=st.sampled_from([0.3, 1.0]))
def test_word_order_and_white_space_keep_the_words(text, strength):
    for kind in ("word-order", "whitespace"):
        assert sorted(altered(text, kind, strength).split()) == sorted(text.split())


def test_each_word_leaves_its_place_if_all_move():
    text = " ".join("abcdefgh")

    assert all(
        a != b for a, b in zip(text, altered(text, "word-order", 1.0), strict=True) if a > " "
    )


@given(text=texts, strength=st.sampled_from([0.25, 0.5]))
def test_truncation_leaves_the_first_words(text, strength):
    words, made = text.split(), altered(text, "truncation", strength).split()

    assert made == words[: len(made)]
    assert len(made) == max(1, len(words) - max(1, round(strength * len(words))))


@pytest.mark.parametrize("kind", ["appended", "frames", "emoji"])
def test_a_number_of_them_is_added_and_the_text_stays_whole(kind):
    once, thrice = (altered("{} 100 % {0}", kind, strength) for strength in (1.0, 2.0))

    assert len("{} 100 % {0}") < len(once) < len(thrice)
    if kind != "emoji":
        assert "{} 100 % {0}" in once
        assert "{} 100 % {0}" in thrice


@pytest.mark.parametrize("kind", ["appended", "frames"])
def test_students_do_not_learn_from_the_sentences_that_measure_them(kind):
    measured = {altered("TEXT", kind, 1.0, seed) for seed in range(200)}
    learnt = {taught("TEXT", kind, Random(seed)) for seed in range(200)}

    assert len(measured) > 3
    assert len(learnt) > 3
    assert not measured & learnt


@pytest.mark.parametrize("kind", ["typos", "confusables"])
def test_a_text_without_such_letters_is_left_as_it_is(kind):
    assert altered("好电影 123 !", kind, 0.3) == "好电影 123 !"


def test_what_only_another_version_knows_has_a_bare_strength():
    assert in_words("typos", 0.3) == "30 % of the words"
    assert in_words("emoji", 3.0) == "3 a text"
    assert in_words("rhymes", 0.5) == "0.5"


def test_nothing_is_imported_from_another_package():
    assert kinds.__name__ == "models.perturbations.kinds"
