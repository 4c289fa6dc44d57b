"""Input normalisation as the tokenizers library carries it out, beside its definition in words."""

import json
import re
import string
import sys
import time
import unicodedata
from itertools import chain

import pytest
import tokenizers
from hypothesis import example, given
from hypothesis import strategies as st
from tokenizers import models, normalizers, pre_tokenizers

from models.perturbations.letters import CONFUSABLES, INVISIBLE
from serving.bundles import normalization
from serving.bundles.normalization import (
    _LOOK_ALIKES,
    EXAMPLES,
    kinds_of,
    normalized,
    own_normalizer,
)
from serving.inference.tokenizer_speed import SLOW_S, may_be_slow

KINDS = ("invisible", "nfkc", "confusables")
LATIN_OF = {alike: letter for letter, all_ in _LOOK_ALIKES.items() for alike in all_}
CYRILLIC = "".join(map(chr, range(0x410, 0x450))) + "\u0451\u0456\u0457\u0454"
GREEK = "".join(chr(n) for n in range(0x391, 0x3CA) if n != 0x3A2) + "\u03ac\u03ad\u03af\u03cd"
MARK = "\u0301"
OWN = {
    "none": None,
    "bert": json.loads(normalizers.BertNormalizer().__getstate__()),
    "sequence": {"type": "Sequence", "normalizers": [{"type": "NFKC"}, {"type": "Lowercase"}]},
}


def whole(normalizer=None):
    """A parsed tokenizer.json whose tokens are words."""
    tokenizer = tokenizers.Tokenizer(models.WordLevel({"[UNK]": 0}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return json.loads(tokenizer.to_str()) | {"normalizer": normalizer}


def loaded(kinds, own=None):
    return tokenizers.Tokenizer.from_str(json.dumps(normalized(whole(own), kinds)))


NORMALIZERS = {kinds: loaded(kinds).normalizer for kinds in (KINDS, *((kind,) for kind in KINDS))}


def normalise(text, *kinds):
    return NORMALIZERS[kinds or KINDS].normalize_str(text)


@pytest.fixture(scope="module")
def ignorable():
    """Unicode's Default_Ignorable_Code_Point, by the library's own table."""
    found = normalizers.Replace(tokenizers.Regex(r"\p{Default_Ignorable_Code_Point}"), "")
    every = "".join(chr(n) for n in range(sys.maxunicode + 1) if not 0xD800 <= n < 0xE000)
    return set(every) - set(found.normalize_str(every))


@pytest.mark.parametrize("own", OWN.values(), ids=OWN)
@pytest.mark.parametrize("kinds", [(), *((kind,) for kind in KINDS), KINDS], ids=str)
def test_a_tokenizer_says_what_was_added_to_it_and_can_lose_it_again(kinds, own):
    before = whole(own)
    # As the library writes it.
    made = json.loads(tokenizers.Tokenizer.from_str(json.dumps(normalized(before, kinds))).to_str())

    assert kinds_of(made) == kinds
    assert own_normalizer(made) == own
    assert normalized(made, ()) == before
    assert kinds_of(normalized(made, ["nfkc"])) == ("nfkc",)


@pytest.mark.parametrize("kind", KINDS)
def test_its_own_normalizer_comes_after(kind):
    text, same = EXAMPLES[kind]
    both = loaded([kind], {"type": "Lowercase"}).normalizer

    assert normalise(text, kind) == same
    assert both.normalize_str(text.upper() if kind == "nfkc" else text) == same
    for other in set(KINDS) - {kind}:
        assert normalise(text, other) == text


@given(st.text(string.printable + "\x00\x1b\x7f"))
def test_no_ascii_text_is_changed(text):
    assert normalise(text) == text


def test_look_alikes_are_letters_of_other_scripts_each_of_one_latin_letter():
    alikes = list(chain.from_iterable(_LOOK_ALIKES.values()))

    assert len(alikes) == len(set(alikes))
    assert set(_LOOK_ALIKES) <= set(string.ascii_letters)
    for alike in alikes:
        script = unicodedata.name(alike).split()[0]
        assert script in {"GREEK", "CYRILLIC", "ARMENIAN"} or alike == "\u0261", alike
        # NFKC and case do not make one of them another's look-alike.
        assert unicodedata.normalize("NFKC", alike) == alike


def test_what_stress_does_within_a_word_is_undone():
    for letter, alike in CONFUSABLES.items():
        assert normalise(f"w{alike}w") == f"w{letter}w"
        # Next to others of its kind, as far as the rules look.
        assert normalise(alike * 15 + "w") == letter * 15 + "w"
        assert normalise("w" + alike * 15) == "w" + letter * 15
    for char in INVISIBLE:
        assert normalise(f"w{char}w {char}w w{char}{char} \u0436{char}\u0436", "invisible") == (
            "ww w w \u0436\u0436"
        )


def latin_words(text):
    """What `confusables` is to do: words become Latin if each letter can and one is already."""

    def word(match):
        letters = [each for each in match[0] if each != MARK]
        latin = [each in string.ascii_letters + "\u00e9" for each in letters]
        if any(latin) and all(
            each in LATIN_OF or is_latin for each, is_latin in zip(letters, latin, strict=True)
        ):
            return "".join(LATIN_OF.get(each, each) for each in match[0])
        return match[0]

    return re.sub(rf"[^\W\d_][^\W\d_{MARK}]*(?:{MARK}[^\W\d_{MARK}]*)*", word, text)


# IPA's g is Latin itself, and becomes g beside another Latin letter: see the next test.
OTHER_SCRIPTS = "".join(LATIN_OF).replace("\u0261", "")
letters_of_all = st.sampled_from(["abcxyzAZ\u00e9", OTHER_SCRIPTS, "\u0436\u043a\u03bb\u0416"])
words = st.lists(letters_of_all.flatmap(st.sampled_from), min_size=1, max_size=12).map("".join)
marked = st.lists(st.sampled_from(["", MARK]), max_size=3).flatmap(
    lambda marks: words.map(
        lambda word: "".join(chain.from_iterable(zip(word, [*marks, *[""] * 12], strict=False)))
    )
)
gaps = st.sampled_from([" ", "-", "7", ".", "\u2019", "\u4e2d "])


@given(st.lists(st.tuples(marked, gaps)).map(lambda parts: "".join(map("".join, parts))))
@example("SMS\u043a\u0430 g\u043eod TNF\u03b1 \u0434om")
def test_words_of_mixed_scripts_become_latin_where_all_their_letters_can(text):
    assert normalise(text, "confusables") == latin_words(text)


def test_the_g_of_ipa_becomes_latin_beside_another_letter_that_is():
    assert normalise("\u0261ood hu\u0261 \u0261", "confusables") == "good hug \u0261"


@given(
    st.lists(st.text(CYRILLIC, min_size=1) | st.text(GREEK, min_size=1) | words.filter(str.isascii))
)
@example(["\u0430\u0441\u0435", "\u03bf", "ok"])
def test_no_word_of_one_script_is_changed(texts):
    text = " ".join(texts)

    assert normalise(text, "confusables") == text
    assert normalise(text) == unicodedata.normalize("NFKC", text)


def test_whatever_unicode_ignores_is_removed_and_nothing_else(ignorable):
    assert len(ignorable) > 4000
    for neighbour in "a\u0436\u03b17. ":
        text = "".join(f"{neighbour}{char}{neighbour}" for char in sorted(ignorable))
        assert normalise(text, "invisible") == neighbour * 2 * len(ignorable)
    others = [chr(n) for n in range(sys.maxunicode + 1) if not 0xD800 <= n < 0xE000]
    rest = "a".join(each for each in others if each not in ignorable)
    assert normalise(rest, "invisible") == rest
    # So it makes no difference that this comes before NFKC.
    assert not ignorable & set(unicodedata.normalize("NFKC", rest))


@pytest.mark.parametrize(
    "text",
    [
        "\U0001f469\u200d\U0001f4bb",
        "\u2764\ufe0f",
        "\U0001f3f3\ufe0f\u200d\U0001f308",
        "\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645",
        "\u0915\u094d\u200d\u0937",
    ],
)
def test_joiners_stay_where_they_mean_something(text):
    assert normalise(f"so {text}, yes", "invisible") == f"so {text}, yes"


odd = st.sampled_from(
    [*"abxE \u0430\u0435\u0436\u03bf\ufb01\uff41\u00bd\u200b\u00ad\u200d\u3000", "e\u0301"]
)


@given(st.lists(odd, max_size=30).map("".join))
@example("g\u200b\u043eod \ufb01lm \uff41")
def test_offsets_are_those_of_the_original_text(text):
    """Each token, here a word, is what the characters that it points to are normalised to."""
    tokenizer = loaded(KINDS)
    tokenizer.model = models.WordLevel(
        {word: n for n, word in enumerate(set(normalise(text).split()))} | {"[UNK]": 9999},
        unk_token="[UNK]",
    )

    encoding = tokenizer.encode(text)

    assert encoding.tokens == normalise(text).split()
    for token, (start, stop) in zip(encoding.tokens, encoding.offsets, strict=True):
        # Of a letter that NFKC makes of two characters, the library points to the first.
        marks = MARK if text[stop : stop + 1] == MARK else ""
        assert normalise(text[start:stop] + marks).strip() == token


def test_none_of_it_is_slow_and_all_of_it_is_known():
    for kinds in NORMALIZERS:
        assert not may_be_slow(normalized(whole(), kinds))
    patterns = re.findall(r'"Regex": "', json.dumps(normalized(whole(), KINDS)))
    assert len(patterns) == len(normalization.PATTERNS) == len(_LOOK_ALIKES) + 2


units = st.text(
    [*"aE- 7", *"\u0430\u0435\u03bf\u0436\u03bb", MARK, "\u200b", "\u200d", "\u00e9", "\u0584"],
    min_size=1,
    max_size=40,
)


@given(units, st.sampled_from(["", "a", "\u0436"]))
@example("\u0430", "a")
@example("\u0430", "")
@example("\u0430" + MARK * 31, "a")
@example("a" * 16 + "-" + "\u0445" * 16, "")
@example("\u200d", "\u0436")
def test_no_repetition_takes_it_longer_than_a_tokenizer_may_take(unit, before):
    """A rule without a bound takes seconds."""
    text = (before + unit * 20_000)[:20_000]
    began_s = time.thread_time()

    normalise(text)

    assert time.thread_time() - began_s < len(text) / 1000 * SLOW_S
