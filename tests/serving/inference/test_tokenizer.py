import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving.errors import BundleError, EngineFailed
from serving.inference.tokenizer import Tokenizer
from tests.support.bundles import write_bundle
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


def test_a_file_that_is_no_tokenizer_is_refused_by_name(tmp_path):
    (tmp_path / "tokenizer.json").write_text("{}")

    with pytest.raises(BundleError, match=r"tokenizer\.json"):
        Tokenizer(tmp_path / "tokenizer.json", 8)


def test_a_limit_without_room_for_text_is_refused(tmp_path):
    write_bundle(tmp_path)

    with pytest.raises(BundleError, match="leaves no room"):
        Tokenizer(tmp_path / "tokenizer.json", 2)


def test_a_text_on_which_the_tokenizer_fails_is_an_error_in_its_words(tmp_path):
    write_bundle(tmp_path)
    CASES["tokenizer-without-unk"](tmp_path)
    tokenizer = Tokenizer(tmp_path / "tokenizer.json", 8)

    with pytest.raises(EngineFailed, match=r"Missing .UNK. token from the vocabulary"):
        tokenizer.encode(["good", "unheard"])
    with pytest.raises(EngineFailed, match=r"Missing .UNK. token"):
        tokenizer.tokens("unheard", special=True)
    assert tokenizer.encode(["good"])[0].length == 3
