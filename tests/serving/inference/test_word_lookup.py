import json
import re
import string
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from tokenizers import AddedToken, Tokenizer, models, normalizers, pre_tokenizers, processors

from serving.bundles.normalization import normalized
from serving.inference import tokenizer as module
from serving.inference import word_lookup
from serving.inference.word_lookup import MAX_CHARS, WordLookup

ROOT = Path(__file__).parents[3]
SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "<mask>")
# No z, so that some words are unknown; no ##b, so that some are after their first letter.
WORDS = (*SPECIAL, *"abcABC012.,'[<-", "##a", "##c", "##A", "##0", "abc", "Abc", "##cab")
LONGEST_WORD = 12
MAX_LENGTH = 9
POST_PROCESSORS = {
    "template": processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    ),
    "template without an end": processors.TemplateProcessing(
        single="[CLS] $A", special_tokens=[("[CLS]", 2)]
    ),
    "bert": processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2)),
    "roberta": processors.RobertaProcessing(("[SEP]", 3), ("[CLS]", 2)),
    "none": None,
}


def bert(*, post="template", **options):
    """A small BERT tokenizer; `options` are its normalizer's."""
    vocabulary = {word: index for index, word in enumerate(WORDS)}
    model = models.WordPiece(
        vocab=vocabulary, unk_token="[UNK]", max_input_chars_per_word=LONGEST_WORD
    )
    tokenizer = Tokenizer(model)
    tokenizer.normalizer = normalizers.BertNormalizer(**options)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    if POST_PROCESSORS[post] is not None:
        tokenizer.post_processor = POST_PROCESSORS[post]
    tokenizer.add_special_tokens(list(SPECIAL[:4]))
    tokenizer.add_special_tokens([AddedToken("<mask>", lstrip=True, normalized=True)])
    return tokenizer


def lookup_of(tokenizer, **options):
    def encode_word(word):
        return [piece.id for piece in tokenizer.model.tokenize(word)]

    return WordLookup(json.loads(tokenizer.to_str()), encode_word, max_length=MAX_LENGTH, **options)


KINDS = {
    f"{post}, {options}": (bert(post=post, **options), lookup_of(bert(post=post, **options)))
    for post in POST_PROCESSORS
    for options in ({"lowercase": True}, {"lowercase": False}, {"clean_text": False})
}
NORMALISED = Tokenizer.from_str(
    json.dumps(normalized(json.loads(bert().to_str()), ["invisible", "nfkc", "confusables"]))
)
KINDS["normalised"] = (NORMALISED, lookup_of(NORMALISED))
letters = st.sampled_from(string.printable + "\x00\x1c\x1f\x7f" + "abcABC" * 20 + " " * 40)
ascii_texts = st.text(letters) | st.lists(st.sampled_from((*WORDS, "abcab", "zz"))).map(" ".join)


@pytest.mark.parametrize("kind", KINDS)
@given(text=ascii_texts)
@example(text="a\tb\nc\rd")
@example(text="abc" * LONGEST_WORD)
@example(text="a_b")
def test_a_text_has_the_tokenizer_s_ids(kind, text):
    tokenizer, lookup = KINDS[kind]
    expected = tokenizer.encode(text).ids

    (encoding,), others = lookup.encode([text])

    if not others:
        assert encoding.full_length == len(expected)
        assert encoding.types is None
        tokenizer.enable_truncation(MAX_LENGTH)
        assert encoding.ids == tokenizer.encode(text).ids
        tokenizer.no_truncation()


@pytest.mark.parametrize(
    "text",
    [
        "caf\u00e9",
        "a\x00b",
        "a\x0bb",
        "a\x7fb",
        "a [SEP] b",
        "a[sep]",
        "a <mask> b",
        "a" * (MAX_CHARS + 1),
        ("a", "b"),
    ],
)
def test_what_cannot_be_looked_up_is_left_to_the_tokenizer(text):
    assert lookup_of(bert()).encode(["abc", text, "c"])[1] == [1]


@pytest.mark.parametrize(
    "text", ["", " ", "abc", "ABC, z!", "[a] <b>", "[SE P]", "a\tb\r\nc", "a" * MAX_CHARS]
)
def test_any_other_ascii_text_is_looked_up(text):
    assert lookup_of(bert()).encode([text])[1] == []


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    """Each kind as it is served."""
    folder = tmp_path_factory.mktemp("tokenizers")
    found = {}
    for number, (name, (tokenizer, _)) in enumerate(KINDS.items()):
        tokenizer.save(str(folder / f"{number}.json"))
        found[name] = module.Tokenizer(folder / f"{number}.json", MAX_LENGTH)
    return found


odd_letters = st.sampled_from("abcABC.,[< " * 8 + "\u0301\u200b\u4e00\uff3b\u226e\u00c1\x00\n")
long_texts = st.lists(st.text(odd_letters, max_size=60), max_size=8).map(" ".join)


@pytest.mark.parametrize("kind", KINDS)
@given(texts=st.lists(long_texts | ascii_texts, min_size=1, max_size=3))
@example(texts=["\u0301 " * 100 + "abc", " " * 200 + "b", "a" * 200, "abcab " * 40])
def test_of_a_text_to_cut_the_beginning_is_enough(served, kind, texts):
    begun, whole = served[kind].encode(texts, cuts=True), served[kind].encode(texts)

    assert [each.ids for each in begun] == [each.ids for each in whole]
    assert [each.truncated for each in begun] == [each.truncated for each in whole]


def test_what_is_cut_off_is_not_read(served):
    (long,) = served["normalised"].encode(["abc " * 1000], cuts=True)
    (left,) = served["normalised"].encode(["abc " * 1000], "left", cuts=True)

    assert long.truncated
    assert long.full_length < 100
    assert left.full_length == 1002


def test_an_added_token_with_a_space_needs_all_of_a_text(tmp_path):
    tokenizer = bert()
    tokenizer.add_special_tokens(["<a b>"])
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    text = "<a b>" * 100

    served = module.Tokenizer(tmp_path / "tokenizer.json", MAX_LENGTH)

    assert served.encode([text], cuts=True)[0].full_length == len(tokenizer.encode(text).ids)


def unsupported(**parts):
    return json.loads(bert().to_str()) | parts


@pytest.mark.parametrize(
    ("tokenizer", "message"),
    [
        (unsupported(normalizer=None), "expected"),
        (unsupported(normalizer={"type": "NFC"}), "NFC"),
        (unsupported(pre_tokenizer={"type": "Whitespace"}), "Whitespace"),
        (unsupported(model={"type": "BPE"}), "BPE"),
        (unsupported(post_processor={"type": "ByteLevel"}), "post-processor"),
        (
            unsupported(
                post_processor={
                    "type": "TemplateProcessing",
                    "single": [{"Sequence": {"id": "A", "type_id": 0}}] * 2,
                    "special_tokens": {},
                }
            ),
            "post-processor",
        ),
        (unsupported(added_tokens=[{"content": "abc"}]), "abc"),
        (unsupported(added_tokens=[{"content": "\u00e9"}]), "no punctuation mark"),
    ],
)
def test_another_kind_of_tokenizer_is_refused(tokenizer, message):
    with pytest.raises(ValueError, match=message):
        WordLookup(tokenizer, list, max_length=8)


def counting_lookup(max_words):
    """A lookup, and the list of words that its model is given."""
    encoded = []

    def encode_word(word):
        encoded.append(word)
        return [7]

    tokenizer = json.loads(bert().to_str())
    return WordLookup(tokenizer, encode_word, max_length=64, max_words=max_words), encoded


def test_a_word_is_encoded_once():
    lookup, encoded = counting_lookup(max_words=8)

    lookup.encode(["some words, and some", "words again"])

    assert encoded == ["some", "words", ",", "and", "again"]


def test_what_stands_between_spaces_is_split_once(monkeypatch):
    lookup, encoded = counting_lookup(max_words=8)
    split = []
    monkeypatch.setattr(
        word_lookup, "_words", lambda text: split.append(text) or re.findall(r"\w+|\W", text)
    )

    (first, second), _ = lookup.encode(["some-words, some-words,", "some-words, some"])

    assert split == ["some-words,", "some", "-", "words", ","]
    assert encoded == ["some", "-", "words", ","]
    assert (len(first.ids), len(second.ids)) == (2 + 8, 2 + 5)


def test_the_words_of_a_piece_may_be_forgotten_while_it_is_read():
    lookup, _ = counting_lookup(max_words=2)

    (encoding,), _ = lookup.encode(["a-b c-d a-b"])

    assert len(encoding.ids) == 2 + 9
    assert len(lookup._ids) <= 2


def test_words_of_what_is_too_long_to_keep_are_kept():
    lookup, encoded = counting_lookup(max_words=8)

    lookup.encode(["a," * 17 + " " + "a," * 17])

    assert encoded == ["a", ","]


def test_words_are_forgotten_when_there_are_too_many():
    lookup, encoded = counting_lookup(max_words=2)

    lookup.encode(["a b a b c a b"])

    assert encoded == ["a", "b", "c", "a", "b"]


def test_a_very_long_word_is_not_kept():
    lookup, encoded = counting_lookup(max_words=8)

    lookup.encode([f"{'x' * 21} {'x' * 21} {'y' * 20} {'y' * 20}"])

    assert encoded == ["x" * 21, "x" * 21, "y" * 20]


@pytest.mark.parametrize("variant", ["small-int8", "medium-int8"])
def test_the_shipped_tokenizers_are_supported(variant):
    path = ROOT / "models" / "registry" / "sentiment" / variant / "tokenizer.json"

    WordLookup(json.loads(path.read_text()), list, max_length=8)


def test_a_tokenizer_mixes_texts_that_are_looked_up_with_others_in_order(tmp_path):
    tokenizer = bert()
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    texts = ["abc", "\u00e9 abc", "a <mask> b", "c", ""]

    encodings = module.Tokenizer(tmp_path / "tokenizer.json", 16).encode(texts)

    assert [encoding.ids for encoding in encodings] == [
        tokenizer.encode(text).ids for text in texts
    ]
