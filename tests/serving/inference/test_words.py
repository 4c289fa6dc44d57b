"""Words of texts in many scripts, and texts without some of them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving.inference.words import join, words_of


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("It isn't good, at all!!", ["It", "isn't", "good", ",", "at", "all", "!!"]),
        ("good-looking 'film'", ["good", "-", "looking", "'", "film", "'"]),
        ("很好 film", ["很", "好", "film"]),
        ("iPhone很好", ["iPhone", "很", "好"]),
        ("हिन्दी में", ["हिन्दी", "में"]),
        ("cafe\u0301 ok", ["cafe\u0301", "ok"]),
        ("ดี", ["ดี"]),
        ("so 👩‍🎤!", ["so", "👩‍🎤!"]),
        (
            "<script>alert(1)</script>",
            ["<", "script", ">", "alert", "(", "1", ")</", "script", ">"],
        ),
        ("\u0301 x", ["\u0301", "x"]),
        (" \n\t", []),
    ],
)
def test_words_are_what_a_reader_sees(text, words):
    assert [text[word.start : word.end] for word in words_of(text)] == words


@given(st.text())
def test_every_character_but_white_space_is_in_one_word(text):
    words = words_of(text)

    inside = [at for word in words for at in range(word.start, word.end)]
    assert inside == sorted(set(inside))
    assert not "".join(c for at, c in enumerate(text) if at not in set(inside)).strip()
    assert all(word.start < word.end for word in words)


@pytest.mark.parametrize(
    ("text", "left", "expected"),
    [
        ("it is not good", [0, 1, 3], "it is good"),
        ("well-known film", [0, 2, 3], "well known film"),
        ("so good!", [1, 2], "good!"),
        ("iPhone很好Android", [0, 3], "iPhone Android"),
        ("很不好", [0, 2], "很好"),
        ("good film", [], ""),
    ],
)
def test_a_text_without_some_words_merges_no_others(text, left, expected):
    words = words_of(text)

    assert join(text, [words[at] for at in left]) == expected


@given(st.text())
def test_with_all_words_a_text_is_as_sent_but_for_white_space_around_it(text):
    assert join(text, words_of(text)) == text.strip()
