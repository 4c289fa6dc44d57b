"""Which end of a text is cut, of which text of a pair, with which segments: as in `tokenizers`."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving.inference.tokenizer import Tokenizer
from tests.support.bundles import VOCABULARY
from tests.support.tokenizer_files import POST_PROCESSORS, word_level, word_piece

MAX_LENGTH = 8
SIDES = ("left", "right")
MAKERS = (word_level, word_piece)
words = st.sampled_from([*VOCABULARY[4:], "goods", "badly", "Gût", "?"])
texts = st.lists(words, max_size=20).map(" ".join)


def served(folder, made, *, pairs=False):
    made.save(str(folder / "tokenizer.json"))
    return Tokenizer(folder / "tokenizer.json", MAX_LENGTH, pairs=pairs)


def reference(make, post, side, strategy="longest_first"):
    made = make(post)
    made.enable_truncation(MAX_LENGTH, strategy=strategy, direction=side)
    return made


@pytest.mark.parametrize("make", MAKERS)
@pytest.mark.parametrize("post", POST_PROCESSORS)
@pytest.mark.parametrize("side", [*SIDES, None])
def test_a_text_is_cut_at_the_side_of_the_file_or_of_the_request(
    tmp_path_factory, make, post, side
):
    declared = {"direction": side} if side else {}
    tokenizer = served(tmp_path_factory.mktemp("t"), make(post, **declared))
    whole = make(post)
    asked = {None: reference(make, post, side or "right")}
    asked |= {each: reference(make, post, each) for each in SIDES}
    assert tokenizer.side == (side or "right")

    @given(st.lists(texts, min_size=1, max_size=4))
    def cut(given_texts):
        full = [len(whole.encode(text).ids) for text in given_texts]
        for cut_at, theirs in asked.items():
            expected = [theirs.encode(text) for text in given_texts]
            found = tokenizer.encode(given_texts, cut_at)
            assert [list(each.ids) for each in found] == [each.ids for each in expected]
            types = [each.types or [0] * each.length for each in found]
            assert types == [each.type_ids for each in expected]
            assert [each.full_length for each in found] == full

    cut()


def outcome(tokenizer, first, second):
    try:
        return tokenizer.encode(first, second)
    except Exception as error:  # noqa: BLE001  it raises bare Exception
        return str(error)


@pytest.mark.parametrize("make", MAKERS)
@pytest.mark.parametrize("post", POST_PROCESSORS)
@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize("strategy", ["longest_first", "only_first", "only_second"])
def test_a_pair_is_cut_by_the_strategy_of_the_file(tmp_path_factory, make, post, side, strategy):
    made = make(post, direction=side, strategy=strategy)
    tokenizer = served(tmp_path_factory.mktemp("t"), made, pairs=True)
    whole = make(post)
    asked = {None: reference(make, post, side, strategy)}
    asked |= {each: reference(make, post, each, strategy) for each in SIDES}

    @given(texts, texts)
    def cut(first, second):
        for cut_at, theirs in asked.items():
            (found,) = tokenizer.encode([(first, second)], cut_at)
            expected = outcome(theirs, first, second)
            if isinstance(expected, str):
                assert (found.length, found.reason) == (0, expected)
                continue
            assert list(found.ids) == expected.ids
            assert (found.types or [0] * found.length) == expected.type_ids
            assert found.full_length == len(whole.encode(first, second).ids)

    cut()


def test_texts_of_a_side_are_looked_up_too(tmp_path):
    tokenizer = served(tmp_path, word_piece(direction="left"))
    text = "film " * 10 + "good bad awful"
    tokenizer._encode = None

    (found,) = tokenizer.encode([text])

    assert found.ids == [2, 8, 8, 8, 4, 5, 7, 3]
    assert found.full_length == 15


@pytest.mark.parametrize("make", MAKERS)
def test_the_strategy_for_pairs_does_not_keep_a_single_text_from_being_cut(tmp_path, make):
    tokenizer = served(tmp_path, make(strategy="only_second", direction="left"))

    (found,) = tokenizer.encode(["gût " * 10 + "good"])

    assert list(found.ids) == [2, 1, 1, 1, 1, 1, 4, 3]


@pytest.mark.parametrize("post", ["none", "bytes", "bert"])
@pytest.mark.parametrize("make", MAKERS)
def test_a_text_without_tokens_is_an_encoding_of_length_zero(tmp_path, make, post):
    tokenizer = served(tmp_path, make(post))

    found = tokenizer.encode([" ", "\u200b", "good"])

    empty = 2 if post == "bert" else 0
    assert [each.length for each in found] == [empty, empty, empty + 1]


def test_a_text_on_which_the_tokenizer_fails_fails_alone_in_its_words(tmp_path):
    tokenizer = served(tmp_path, word_level(unknown="<unk>"))

    good, unknown, bad = tokenizer.encode(["good film", "good movie", "bad"])

    assert (good.ids, bad.ids) == ([2, 4, 8, 3], [2, 5, 3])
    assert unknown.length == 0
    assert "Missing [UNK] token" in unknown.reason
