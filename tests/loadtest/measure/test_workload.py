"""Generated and given texts, and arrival times."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from loadtest.measure.workload import (
    MAX_WORDS,
    constant_arrivals_s,
    poisson_arrivals_s,
    ramp_arrivals_s,
    recorded_arrivals_s,
    seeded_texts,
    texts_from,
)


def test_the_same_seed_gives_the_same_texts_and_another_seed_gives_others():
    assert seeded_texts(50, 3) == seeded_texts(50, 3)
    assert seeded_texts(50, 3) != seeded_texts(50, 4)


@settings(deadline=None)
@given(st.integers(1, 60), st.integers(0, 2**32 - 1))
def test_there_are_as_many_texts_as_asked_for_and_none_is_empty_or_endless(count, seed):
    texts = seeded_texts(count, seed)
    assert len(texts) == count
    assert all(1 <= len(text.split()) <= MAX_WORDS for text in texts)


def test_lengths_are_those_of_opinions_with_a_long_tail_and_almost_all_texts_differ():
    texts = seeded_texts(500, 0)
    pieces = np.array([len(text.split()) + sum(map(text.count, ".,")) + 2 for text in texts])
    assert 24 <= pieces.mean() <= 30
    assert np.percentile(pieces, 99) > 3 * np.median(pieces)
    assert len(set(texts)) > 480


def test_no_text_is_refused_as_a_count():
    with pytest.raises(ValueError, match="at least 1"):
        seeded_texts(0, 0)


def test_own_texts_are_read_one_a_line_without_blank_lines(tmp_path):
    (tmp_path / "own.txt").write_text("Schön.\n\n  second  \n", encoding="utf-8")
    assert texts_from(tmp_path / "own.txt") == ["Schön.", "second"]


@pytest.mark.parametrize("content", [None, b"", b"\n \n", b"\xff\xfe"])
def test_a_file_without_texts_is_refused_by_its_name(tmp_path, content):
    path = tmp_path / "own.txt"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ValueError, match=r"own\.txt"):
        texts_from(path)


@settings(deadline=None)
@given(st.floats(0.1, 200.0), st.floats(0.1, 5.0), st.integers(0, 1000))
def test_arrivals_ascend_within_the_time_and_repeat_with_their_seed(rate_rps, duration_s, seed):
    arrivals_s = poisson_arrivals_s(rate_rps, duration_s, seed)
    assert np.all(np.diff(arrivals_s) >= 0)
    assert np.all((arrivals_s >= 0) & (arrivals_s < duration_s))
    assert np.array_equal(arrivals_s, poisson_arrivals_s(rate_rps, duration_s, seed))


def test_gaps_between_arrivals_are_exponential_with_the_rate_asked_for():
    gaps_s = np.diff(poisson_arrivals_s(100.0, 200.0, seed=1))
    assert gaps_s.mean() == pytest.approx(0.01, rel=0.03)
    assert gaps_s.std() == pytest.approx(gaps_s.mean(), rel=0.05)


def test_constant_arrivals_keep_their_distance():
    assert constant_arrivals_s(4.0, 1.0).tolist() == [0.0, 0.25, 0.5, 0.75]


def test_a_ramp_has_a_quarter_of_its_arrivals_in_the_first_half():
    arrivals_s = ramp_arrivals_s(1000.0, 20.0, seed=1)
    assert arrivals_s.size == pytest.approx(10_000, rel=0.05)
    assert np.mean(arrivals_s < 10.0) == pytest.approx(0.25, abs=0.02)
    assert np.all(np.diff(arrivals_s) >= 0)


def test_a_trace_counts_from_its_first_arrival_and_ends_with_the_phase(tmp_path):
    (tmp_path / "day.txt").write_text("107.5\n100\n101.25\n")
    assert recorded_arrivals_s(tmp_path / "day.txt", 5.0).tolist() == [0.0, 1.25]


@pytest.mark.parametrize("content", [None, "", "soon\n", "nan\n", "inf\n"])
@pytest.mark.filterwarnings("ignore:loadtxt")
def test_a_file_without_times_is_refused_by_its_name(tmp_path, content):
    if content is not None:
        (tmp_path / "day.txt").write_text(content)
    with pytest.raises(ValueError, match=r"day\.txt"):
        recorded_arrivals_s(tmp_path / "day.txt", 5.0)
