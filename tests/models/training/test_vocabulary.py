import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer, models

from models.training.vocabulary import (
    cost,
    learnt,
    trimmed,
    unknown_share,
    word_texts,
    words_to_keep,
)
from tests.support.tiny_models import BAD, GOOD, SPECIAL, write_base

LIMIT = 95


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory):
    path = write_base(tmp_path_factory.mktemp("words") / "base") / "tokenizer.json"
    return json.loads(path.read_text())


@pytest.fixture(scope="module")
def small(tokenizer):
    whole = Tokenizer.from_str(json.dumps(tokenizer))
    used = [whole.encode(text).ids for text in ["a superb film"] * 3 + ["the plot was dull"]]
    keep = words_to_keep(tokenizer, used, LIMIT)
    return keep, trimmed(tokenizer, keep)


def test_the_most_used_words_stay_and_unused_ones_go(small):
    keep, result = small

    vocabulary = result["model"]["vocab"]
    assert len(keep) == len(vocabulary) == LIMIT
    assert {*SPECIAL, "superb", "film", "dull", "the", "z", "##z"} <= set(vocabulary)
    assert "[unused0]" not in vocabulary
    assert "unseen" not in vocabulary


def test_new_ids_are_consecutive_and_keep_the_order_of_the_old(tokenizer, small):
    keep, result = small

    old = tokenizer["model"]["vocab"]
    assert [old[word] for word in result["model"]["vocab"]] == keep == sorted(keep)
    assert list(result["model"]["vocab"].values()) == list(range(LIMIT))


words = st.sampled_from((*GOOD, *BAD, "unseen", "filmz", "zebra9", "\u6f22", "caf\u00e9"))


@given(st.lists(words, min_size=1))
def test_no_word_becomes_unknown_while_there_is_room_and_special_tokens_stay(
    tokenizer, small, text
):
    whole = Tokenizer.from_str(json.dumps(tokenizer))
    cut = Tokenizer.from_str(json.dumps(small[1]))

    before, after = whole.encode(" ".join(text)), cut.encode(" ".join(text))

    assert after.tokens.count("[UNK]") == before.tokens.count("[UNK]")
    assert (after.tokens[0], after.tokens[-1]) == ("[CLS]", "[SEP]")
    assert [cut.token_to_id(token) for token in after.tokens] == after.ids


def test_a_limit_without_room_for_the_characters_is_refused(tokenizer):
    used = [Tokenizer.from_str(json.dumps(tokenizer)).encode("the plot was dull").ids]

    with pytest.raises(ValueError, match="do not fit into 10 words"):
        words_to_keep(tokenizer, used, 10)


def test_a_vocabulary_that_is_no_wordpiece_is_refused():
    bpe = {"model": {"type": "BPE", "vocab": {"a": 0}}, "added_tokens": []}

    with pytest.raises(ValueError, match="only WordPiece vocabularies can be trimmed, not BPE"):
        words_to_keep(bpe, [], 10)


def test_the_cost_counts_words_that_fall_into_more_pieces(tokenizer):
    letters = words_to_keep(tokenizer, [], 81)

    same = cost(tokenizer, tokenizer, ["a superb film", "the plot"])
    less = cost(tokenizer, trimmed(tokenizer, letters), ["a superb film", "the plot"])

    assert same["words_split_more"] == 0
    assert same["tokens_per_text"] == same["tokens_per_text_before"] == 2.5
    assert less["words_split_more"] == 0.8  # all but the letter a
    assert less["tokens_per_text"] == (1 + 6 + 4 + 3 + 4) / 2


def test_the_cost_does_not_depend_on_the_tokenizer_s_padding_or_limit(tokenizer):
    padding = {
        "strategy": {"Fixed": 64}, "direction": "Right", "pad_to_multiple_of": None,
        "pad_id": 0, "pad_type_id": 0, "pad_token": "[PAD]",
    }  # fmt: skip

    padded = cost(tokenizer | {"padding": padding}, tokenizer, ["a superb film"])

    assert padded["tokens_per_text_before"] == 3


def test_characters_that_no_text_uses_give_way_to_used_words(tokenizer):
    whole = Tokenizer.from_str(json.dumps(tokenizer))
    used = [whole.encode("dull film").ids]
    letters = set("dullfilm")

    keep = words_to_keep(tokenizer, used, len(SPECIAL) + 2 * len(letters) + 2)

    names = {index: word for word, index in tokenizer["model"]["vocab"].items()}
    assert {names[index] for index in keep} == {
        *SPECIAL, "dull", "film", *letters, *(f"##{letter}" for letter in letters)
    }  # fmt: skip


CHINESE = ["这部电影很好看", "剧情不好", "演员真好, 画面很美 OK"]
THAI = ["หนังเรื่องนี้สนุกมาก", "ไม่สนุกเลย"]


def split_by(tokenizer, text):
    return Tokenizer.from_str(json.dumps(tokenizer)).encode(text).tokens


@pytest.mark.parametrize(
    ("texts", "word"),
    [(["很好看", "不好看", "好看"], "好看"), (THAI, "สนุก"), (["すごく好き", "好き"], "好き")],
)
def test_words_are_learnt_in_scripts_without_spaces(texts, word):
    tokenizer = learnt(texts, 60)

    assert word in tokenizer["model"]["vocab"]
    assert "[UNK]" not in split_by(tokenizer, word * 100)
    assert len(split_by(tokenizer, word * 100)) < 2 + len(word) * 100 / 1.5


def test_a_few_foreign_characters_do_not_change_how_texts_are_split():
    tokenizer = learnt(["a plain text"] * 30 + ["好看"], 60)

    assert tokenizer["pre_tokenizer"] == {"type": "BertPreTokenizer"}
    assert split_by(tokenizer, "好看") == ["[CLS]", "好", "看", "[SEP]"]


def test_learnt_words_keep_their_accents_and_lose_their_case():
    vocabulary = learnt(["SCHÖN schön schön", "schon schon"], 60)["model"]["vocab"]

    assert {"schön", "schon"} <= set(vocabulary)
    assert "SCHÖN" not in vocabulary


def test_words_are_learnt_of_normalised_texts():
    texts = ["the film w\u0430s g\u200bood", "the film was good"] * 5

    plain, normalised = (learnt(texts, 60, kinds) for kinds in ((), ("confusables",)))

    assert "\u0430" in "".join(plain["model"]["vocab"])
    assert "\u0430" not in "".join(normalised["model"]["vocab"])
    assert split_by(normalised, "w\u0430s") == ["[CLS]", "was", "[SEP]"]


@pytest.mark.parametrize("limit", [5, 8, 20])
def test_a_learnt_vocabulary_keeps_to_its_limit_and_numbers_its_words(limit):
    vocabulary = learnt([*CHINESE, *THAI], limit)["model"]["vocab"]

    assert len(vocabulary) <= limit
    assert sorted(vocabulary.values()) == list(range(len(vocabulary)))
    assert [vocabulary[word] for word in ("[PAD]", "[UNK]", "[CLS]", "[SEP]")] == [0, 1, 2, 3]


def test_the_same_texts_teach_the_same_vocabulary():
    texts = [f"word{n % 7} other{n % 5} wörd" for n in range(50)] + CHINESE

    assert learnt(texts, 45) == learnt(texts, 45)


def test_a_limit_without_room_for_a_character_is_refused():
    with pytest.raises(ValueError, match="4 words leave none beside"):
        learnt(CHINESE, 4)


def test_the_words_as_texts_are_in_the_order_of_their_ids(tokenizer):
    texts = word_texts(tokenizer)

    vocabulary = tokenizer["model"]["vocab"]
    assert len(texts) == len(vocabulary)
    assert texts[vocabulary["superb"]] == "superb"
    assert texts[vocabulary["##z"]] == "z"


@pytest.mark.parametrize("kind", ["WordPiece", "Unigram", "bytes"])
def test_the_share_of_unknown_tokens_leaves_the_outer_two_out(tmp_path, kind):
    words = {word: number for number, word in enumerate(["[UNK]", "[CLS]", "[SEP]", "good"])}
    made = {
        "WordPiece": models.WordPiece(words, unk_token="[UNK]"),
        "Unigram": models.Unigram([(word, -1.0) for word in words], 0),
        "bytes": models.BPE(words, []),
    }
    Tokenizer(made[kind]).save(str(tmp_path / "tokenizer.json"))

    share = unknown_share(tmp_path / "tokenizer.json", [[1, 0, 3, 2], [1, 0, 0, 2], [1, 2], []])

    assert share == (0.0 if kind == "bytes" else 0.75)
