"""Long texts as windows: every token is in one, with its characters, and all make one answer."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer as Library
from tokenizers import decoders, models, pre_tokenizers, processors

from serving.bundles.bundle import Manifest
from serving.bundles.probabilities import activation, sigmoid, softmax
from serving.bundles.windows import Windows
from serving.errors import TextTooLong
from serving.inference.tokenizer import Tokenizer
from serving.inference.windows import Windowing, joined, starts_of, windowing_of, windows_of
from tests.support.bundles import VOCABULARY
from tests.support.tokenizer_files import POST_PROCESSORS, word_level

MAX_LENGTH = 8
RULES = ("max", "mean", "first_and_last")
WORDS = [
    *VOCABULARY[4:],
    "goods",
    "Gût",
    "e\u0301",
    "\U0001f600",
    "\U0001f469\u200d\U0001f4bb",
    "電影",
]
texts = st.lists(st.sampled_from(WORDS), min_size=9, max_size=40).map(" ".join)
overlaps = st.floats(0, 0.9)
finite = st.floats(-30, 30)
rows = st.integers(1, 5).flatmap(
    lambda labels: st.lists(
        st.lists(finite, min_size=labels, max_size=labels), min_size=1, max_size=6
    )
)


def windowing(rule="mean", overlap=0.25, temperature=1.0):
    return Windowing(rule, overlap, temperature, most=1000, most_together=1000)


def manifest(problem_type="single_label", labels=2, temperature=1.0, max_length=8):
    return Manifest.model_construct(
        problem_type=problem_type, labels=[str(n) for n in range(labels)], temperature=temperature,
        version="0" * 16,
        variant="tiny",
        max_length=max_length,
    )  # fmt: skip


@given(st.integers(1, 600), st.integers(1, 100), overlaps)
def test_windows_are_full_and_cover_every_token_with_the_overlap(tokens, room, overlap):
    starts = starts_of(tokens, room, windowing(overlap=overlap))

    assert starts[0] == 0
    assert max(starts[-1] + room, room) >= tokens
    assert len(starts) == 1 or starts[-1] + room == tokens
    shared = [start + room - later for start, later in pairwise(starts)]
    assert all(int(room * overlap) <= each < room for each in shared)
    fewest = 1 + max(0, -(-(tokens - room) // (room - int(room * overlap))))
    assert len(starts) == fewest
    ends = starts_of(tokens, room, windowing("first_and_last", overlap))
    assert ends == ([starts[0], starts[-1]] if len(starts) > 1 else [0])


@pytest.mark.parametrize("pairs", [False, True])
@pytest.mark.parametrize("post", POST_PROCESSORS)
def test_a_window_is_what_its_characters_are_encoded_to(tmp_path_factory, post, pairs):
    """So it has all special tokens and segments, whatever the normalizer does to the characters."""
    path = tmp_path_factory.mktemp("t") / "tokenizer.json"
    library = word_level(post)
    library.save(str(path))
    tokenizer = Tokenizer(path, MAX_LENGTH, pairs=pairs)

    @given(texts, overlaps)
    def check(text, overlap):
        whole = tokenizer.whole(("good", text) if pairs else text)
        found = windows_of(whole, manifest(max_length=MAX_LENGTH), windowing("max", overlap))

        assert len(found.windows) == len(found.spans) > 1
        for window, (start, end) in zip(found.windows, found.spans, strict=True):
            its = text[start:end]
            expected = library.encode("good", its) if pairs else library.encode(its)
            assert window.ids == expected.ids
            assert window.length == window.full_length == MAX_LENGTH
            assert (window.types or [0] * MAX_LENGTH) == expected.type_ids
        assert found.spans[0][0] == 0
        assert text[found.spans[-1][1] :] in {"", "\u0301"}, "no token has a removed accent"

    check()


def test_the_bytes_of_a_character_count_as_the_character(tmp_path):
    library = Library(
        models.BPE({char: n for n, char in enumerate(pre_tokenizers.ByteLevel.alphabet())}, [])
    )
    library.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    library.decoder = decoders.ByteLevel()
    library.post_processor = processors.ByteLevel(trim_offsets=True)
    library.save(str(tmp_path / "tokenizer.json"))
    tokenizer = Tokenizer(tmp_path / "tokenizer.json", 6)
    text = "\U0001f600a\U0001f600" * 3

    whole = tokenizer.whole(text)
    found = windows_of(whole, manifest(max_length=6), windowing(overlap=0))

    assert [(window.length, span) for window, span in zip(*found, strict=True)] == [
        (6, (0, 3)), (6, (2, 4)), (6, (3, 6)), (6, (5, 7)), (6, (6, 9)),
    ]  # fmt: skip
    assert sorted({char for start, end in found.spans for char in range(start, end)}) == [*range(9)]


def test_a_pair_whose_first_text_fills_the_model_has_no_room(tmp_path):
    word_level().save(str(tmp_path / "tokenizer.json"))
    tokenizer = Tokenizer(tmp_path / "tokenizer.json", MAX_LENGTH, pairs=True)

    one = windows_of(tokenizer.whole(("good " * 4, "bad " * 9)), manifest(), windowing())
    assert [end - start for start, end in one.spans] == [3] * 9, "there is room for one word"
    for first, second in (("good " * 5, "bad " * 9), ("good " * 9, " ")):
        with pytest.raises(TextTooLong, match="leaves no room in the 8 tokens of tiny"):
            windows_of(tokenizer.whole((first, second)), manifest(), windowing())


def test_the_windows_of_a_text_are_bounded(tmp_path):
    word_level().save(str(tmp_path / "tokenizer.json"))
    whole = Tokenizer(tmp_path / "tokenizer.json", MAX_LENGTH).whole("good " * 25)
    few = replace(windowing(overlap=0), most=4)

    with pytest.raises(TextTooLong, match="takes 5 windows of tiny") as refused:
        windows_of(whole, manifest(), few)

    assert (refused.value.limit, refused.value.value) == (4, 5)
    assert len(windows_of(whole, manifest(), replace(few, most=5)).windows) == 5
    assert len(windows_of(whole, manifest(), replace(few, rule="first_and_last")).windows) == 2


@given(rows, st.sampled_from(RULES), st.floats(0.2, 5))
def test_one_of_several_labels_joins_to_probabilities_of_the_rule(logits, rule, temperature):
    of = manifest(labels=len(logits[0]), temperature=temperature)
    each = np.array([softmax(row, temperature) for row in logits])

    found = joined(logits, of, windowing(rule))

    wanted = each.max(axis=0) if rule == "max" else each.mean(axis=0)
    assert softmax(found.logits, temperature) == pytest.approx(wanted / wanted.sum(), abs=1e-9)
    assert each[found.deciding, range(each.shape[1])] == pytest.approx(each.max(axis=0))


@given(rows, st.sampled_from(RULES), st.floats(0.2, 5))
def test_labels_of_their_own_join_each_for_itself(logits, rule, temperature):
    of = manifest("multi_label", labels=len(logits[0]), temperature=temperature)
    each = np.array([sigmoid(row, temperature) for row in logits])

    found = joined(logits, of, windowing(rule))

    wanted = each.max(axis=0) if rule == "max" else each.mean(axis=0)
    assert sigmoid(found.logits, temperature) == pytest.approx(wanted, abs=1e-9)
    assert each[found.deciding, range(each.shape[1])] == pytest.approx(each.max(axis=0))


@pytest.mark.parametrize("problem_type", ["single_label", "multi_label"])
def test_scores_beyond_a_float_stay_finite(problem_type):
    found = joined([[1e6, -1e6], [-1e6, 1e6]], manifest(problem_type), windowing("mean"))

    scores = activation(manifest(problem_type))(found.logits, 1.0)
    assert scores == pytest.approx([0.5, 0.5])


def test_a_regression_joins_its_values():
    values = [[1.0, -4.0], [3.0, -2.0]]

    assert joined(values, manifest("regression"), windowing("mean")) == ([2.0, -3.0], [1, 1])
    assert joined(values, manifest("regression"), windowing("max")) == ([3.0, -2.0], [1, 1])


@given(rows)
def test_a_temperature_moves_the_scores_and_no_label(logits):
    of = manifest(labels=len(logits[0]))

    plain, cooled = (joined(logits, of, windowing("max", temperature=t)) for t in (1.0, 2.0))

    assert cooled.logits == pytest.approx([each / 2 for each in plain.logits])
    assert cooled.deciding == plain.deciding


def test_without_a_file_labels_of_their_own_are_found_anywhere_and_others_averaged():
    rules = [
        windowing_of(Windows(), manifest(kind), 8).rule
        for kind in ("multi_label", "single_label", "regression")
    ]

    assert rules == ["max", "mean", "mean"]


def test_a_temperature_is_that_of_the_version_it_was_fitted_for():
    windows = Windows(temperatures={"0" * 16: 1.5, "1" * 16: 3.0})

    assert windowing_of(windows, manifest(), 8).temperature == 1.5
    assert windowing_of(Windows(temperatures={"1" * 16: 3.0}), manifest(), 8).temperature == 1.0
