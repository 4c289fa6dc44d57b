"""The search: within its budget, in the order of what matters, and only real flips."""

import numpy as np
import pytest

from models.robustness.worst_case import flipped, margins, search


def asked(text, budget, score):
    """All texts that a search asks for, and what it returns."""
    steps, found = [], search(text, budget, 0)
    try:
        texts = next(found)
        while True:
            steps.append(texts)
            texts = found.send(np.array([score(each) for each in texts]))
    except StopIteration as stopped:
        return steps, stopped.value


@pytest.mark.parametrize("budget", [1, 2, 3, 10, 50])
def test_no_more_texts_are_asked_for_than_the_budget_has(budget):
    steps, done = asked("the plot of this film is rather good", budget, lambda _: 1.0)

    assert 0 < sum(map(len, steps)) <= budget
    assert not done


def test_the_word_whose_deletion_costs_most_is_altered_first():
    steps, done = asked(
        "the plot is good", 50, lambda text: 1.0 if "good" in text.split() else -1.0
    )

    assert done
    assert steps[0] == ["plot is good", "the is good", "the plot good", "the plot is"]
    assert all(text.startswith("the plot is ") for text in steps[1])
    assert len(steps) == 2


def test_what_is_found_is_kept_while_the_next_word_is_altered():
    def score(text):
        return sum(word in ("good", "great") for word in text.split()) - 0.5

    steps, done = asked("good great", 50, score)

    assert done
    assert len(steps) == 3
    assert all("great" not in text or "good" not in text for text in steps[2])


def test_searches_take_their_steps_together():
    batches, finished = [], []

    def score(texts, of):
        batches.append((list(texts), list(of)))
        return np.array(
            [
                -1.0 if at == 1 and "good" not in text else 1.0
                for text, at in zip(texts, of, strict=True)
            ]
        )

    found = flipped(["bad plot", "good film", "awful"], score, 20, 0, lambda: finished.append(1))

    assert found.tolist() == [False, True, False]
    assert len(finished) == 3
    assert set(batches[0][1]) == {0, 1, 2}
    assert all(len(texts) == len(of) for texts, of in batches)


def test_a_margin_is_below_0_where_the_answer_is_another_one():
    plain = np.array([True, False, False])
    logits = np.array([[3.0, 1.0, 2.0], [1.0, 1.5, 0.0], [np.nan, 0.0, 0.0]])
    assert margins(logits, plain, "single_label").tolist() == [1.0, -0.5, np.inf]

    # The first of equal logits is the answer.
    second = np.array([False, True])
    (tie,) = margins(np.array([[0.0, 0.0]]), second, "single_label")
    assert tie < 0

    several = margins(np.array([[1.0, -2.0], [1.0, 0.5]]), np.array([True, False]), "multi_label")
    assert several.tolist() == [1.0, -0.5]
