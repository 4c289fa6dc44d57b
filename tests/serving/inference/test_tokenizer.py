import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import normalizers

from serving.bundles.bundle import read_bundle
from serving.bundles.normalization import normalized
from serving.errors import BundleError, EngineFailed
from serving.inference.inputs import Unreadable
from serving.inference.tokenizer import Tokenizer, open_tokenizer
from tests.support.bundles import alter, write_bundle
from tests.support.mutilated.cases import CASES


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory):
    folder = tmp_path_factory.mktemp("bundle")
    write_bundle(folder)
    return Tokenizer(folder / "tokenizer.json", max_length=8)


@given(st.lists(st.sampled_from(["good", "bad", "film", "zzz"]), max_size=30))
def test_a_long_text_is_cut_to_the_limit_and_says_how_long_it_was(tokenizer, words):
    (encoding,) = tokenizer.encode([" ".join(words)])

    assert encoding.full_length == len(words) + 2
    assert encoding.length == min(len(words) + 2, 8)
    assert encoding.truncated == (len(words) > 6)
    assert encoding.ids[0] == 2
    assert encoding.ids[-1] == 3


@given(st.lists(st.text(max_size=50), min_size=1, max_size=10))
def test_texts_keep_their_order_whatever_they_say(tokenizer, texts):
    together = tokenizer.encode(texts)

    assert together == [tokenizer.encode([text])[0] for text in texts]


@pytest.mark.parametrize("kind", ["invisible", "nfkc", "confusables"])
def test_one_that_does_not_normalise_as_its_manifest_says_is_refused(tmp_path, kind):
    write_bundle(tmp_path / "plain")
    lying = alter(tmp_path / "plain", tmp_path / "lying", normalize=[kind])
    with pytest.raises(BundleError, match=f"does not normalise .* to 'good bad', .* '{kind}'"):
        open_tokenizer(read_bundle(lying))

    path = tmp_path / "plain" / "tokenizer.json"
    path.write_text(json.dumps(normalized(json.loads(path.read_text()), [kind])))
    honest = alter(tmp_path / "plain", tmp_path / "honest", normalize=[kind])
    assert open_tokenizer(read_bundle(honest)).thread is None


def test_a_file_that_is_no_tokenizer_is_refused_by_name(tmp_path):
    (tmp_path / "tokenizer.json").write_text("{}")

    with pytest.raises(BundleError, match=r"tokenizer\.json"):
        Tokenizer(tmp_path / "tokenizer.json", 8)


def test_a_limit_without_room_for_text_is_refused(tmp_path):
    write_bundle(tmp_path)

    with pytest.raises(BundleError, match="leaves no room"):
        Tokenizer(tmp_path / "tokenizer.json", 2)


@pytest.mark.parametrize("words_are_looked_up", [False, True])
def test_a_text_on_which_the_tokenizer_fails_fails_alone(tmp_path, words_are_looked_up):
    write_bundle(tmp_path)
    CASES["tokenizer-without-unk"](tmp_path)
    if words_are_looked_up:
        as_of_bert(tmp_path / "tokenizer.json")
    tokenizer = Tokenizer(tmp_path / "tokenizer.json", 8)

    assert (tokenizer._lookup is not None) == words_are_looked_up  # or the case tests nothing
    good, unheard = tokenizer.encode(["good", "unheard"])

    assert good.length == 3
    assert isinstance(unheard, Unreadable)
    assert "from the vocabulary" in unheard.reason
    with pytest.raises(EngineFailed, match="from the vocabulary"):
        tokenizer.tokens("unheard", special=True)


def as_of_bert(path):
    content = json.loads(path.read_text())
    content["model"] |= {
        "type": "WordPiece", "continuing_subword_prefix": "##", "max_input_chars_per_word": 100,
    }  # fmt: skip
    content["normalizer"] = json.loads(normalizers.BertNormalizer().__getstate__())
    content["pre_tokenizer"] = {"type": "BertPreTokenizer"}
    path.write_text(json.dumps(content))
