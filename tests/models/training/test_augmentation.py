import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.training.augmentation import augmented as with_copies

words = st.text(alphabet="abcdé漢", min_size=1, max_size=4)
texts = st.lists(st.lists(words, min_size=1, max_size=8).map(" ".join), min_size=1, max_size=6)


def augmented(originals, *others):
    """The copies alone."""
    return with_copies(originals, *others).texts[len(originals) :]


@given(texts, st.integers(0, 3), st.integers(0, 5))
def test_every_text_has_as_many_copies_of_known_words_and_none_is_empty(originals, copies, seed):
    result = augmented(originals, copies, seed, "[MASK]")

    assert len(result) == copies * len(originals)
    known = {"[MASK]", *(word for text in originals for word in text.split())}
    for text in result:
        assert text.split()
        assert set(text.split()) <= known


@given(texts, st.integers(0, 5))
def test_the_same_seed_gives_the_same_copies(originals, seed):
    assert augmented(originals, 2, seed, None) == augmented(originals, 2, seed, None)


def test_words_are_masked_dropped_and_exchanged_between_texts_at_the_stated_rates():
    originals = [" ".join([letter] * 20) for letter in "ab"] * 250

    copies = [copy.split() for copy in augmented(originals, 1, 0, "[MASK]")]

    mixed = sum({"a", "b"} <= set(words) for words in copies) / len(copies)
    masked = sum(words.count("[MASK]") for words in copies) / sum(map(len, copies))
    assert mixed == pytest.approx(0.25, abs=0.06)  # half are exchanged, half of these with the like
    assert masked == pytest.approx(0.1 / 0.9, abs=0.02)


def test_without_a_mask_nothing_is_masked():
    assert "[MASK]" not in " ".join(augmented(["one two three four"] * 50, 2, 0, None))


@pytest.mark.parametrize("kinds", [("typos",), ("mixing", "typos", "appended")])
def test_kinds_take_turns_over_texts_and_copies(kinds):
    originals = [f"alpha beta gamma delta {number}" for number in range(30)]

    made = augmented(originals, 2, 0, None, kinds)

    assert len(made) == 60
    for at, text in enumerate(made):
        kind, original = kinds[(at % 30 + at // 30) % len(kinds)], originals[at % 30]
        if kind == "typos":
            assert len(text) == len(original)
            assert 1 <= sum(a != b for a, b in zip(text, original, strict=True)) <= 2
        elif kind == "appended":
            assert text.startswith(f"{original} ")
    assert made == augmented(originals, 2, 0, None, kinds)


def test_a_copy_that_means_the_same_has_its_original_s_answer_and_others_their_own():
    kinds = ("mixing", "typos", "truncation")

    made = with_copies(["one two three", "four five six", "seven eight nine"], 1, 0, None, kinds)

    assert made.answered_as == [0, 1, 2, 3, 1, 5]
    asked, answers = made.asked()
    assert asked == [*made.texts[:4], made.texts[5]]
    assert answers == [0, 1, 2, 3, 1, 4]
