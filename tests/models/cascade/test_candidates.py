import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.cascade.candidates import Candidates
from models.cascade.scored_texts import Candidate, scored
from models.cascade.selection import select
from tests.support.cascade_problems import COSTS, answers, problem

losses = st.sampled_from(["agreement", "accuracy"])


@settings(max_examples=20)
@given(st.integers(0, 99), losses, st.booleans(), st.randoms(use_true_random=False))
def test_the_table_of_candidates_says_what_each_one_does(seed, loss, each_label, random):
    asked = problem(loss, each_label=each_label)
    found = select(answers(300, seed), answers(300, seed + 1), asked)
    texts = scored(answers(300, seed + 2), found.calibrations, asked)
    candidates = Candidates(texts, asked, found.grid)

    for number in random.sample(range(len(candidates.cost)), 10):
        candidate = candidates.candidate(number)
        assert candidates.cost[number] == pytest.approx(texts.cost(candidate, COSTS))
        assert candidates.loss[number] == pytest.approx(texts.worst(candidate))
        assert list(candidate.variants) == sorted(candidate.variants)


def test_a_candidate_that_ends_earlier_uses_no_other_variant():
    candidate = Candidate((0, 1, 2), (0.9, 0.8))

    assert candidate.until(0) == Candidate((0,), ())
    assert candidate.until(1) == Candidate((0, 1), (0.9,))
