import random

import numpy as np
import pytest

from models.evaluation import baselines
from models.evaluation.baselines import bag_of_words, majority

FILMS = ("电影", "剧情", "电池", "手机", "音乐", "故事")
CHINESE = {True: ("好", "美", "快", "新"), False: ("差", "丑", "慢", "旧")}
ENGLISH = {True: ("warm", "funny", "superb"), False: ("dull", "awful", "noisy")}


def texts_of(words, chosen, count):
    """Texts whose label is that of the one word of `words` in them, as (texts, truth)."""
    good = [chosen.random() < 0.5 for _ in range(count)]
    texts = [f"这{chosen.choice(FILMS)}很{chosen.choice(words[it])}" for it in good]
    return texts, np.stack([np.logical_not(good), good], axis=1)


@pytest.mark.parametrize("words", [CHINESE, ENGLISH])
def test_a_bag_of_words_finds_the_words_that_decide_in_scripts_with_and_without_spaces(words):
    chosen = random.Random(0)
    texts, truth = texts_of(words, chosen, 200)
    asked, expected = texts_of(words, chosen, 100)

    answers = bag_of_words(texts, truth, asked, "single_label")

    assert (answers == expected).all()


def test_several_labels_or_none_are_answered():
    texts = ["sun and rain", "rain alone", "sun alone", "neither"] * 20
    truth = np.array([[1, 1, 1], [0, 1, 1], [1, 0, 1], [0, 0, 1]] * 20, dtype=np.bool_)

    answers = bag_of_words(texts, truth, texts[:4], "multi_label")

    assert answers.tolist() == truth[:4].tolist()


def test_a_single_label_is_answered_to_texts_of_nothing_but_signs():
    truth = np.eye(3, dtype=np.bool_)[[0, 1, 2] * 10]
    answers = bag_of_words(["!", "?", "\U0001f600"] * 10, truth, ["", "...", "?"], "single_label")

    assert (answers.sum(axis=1) == 1).all()
    assert answers[2].tolist() == [False, True, False]


def test_it_is_the_same_each_time_also_where_only_a_sample_is_trained_on(monkeypatch):
    monkeypatch.setattr(baselines, "_MOST_TEXTS", 50)
    texts, truth = texts_of(ENGLISH, random.Random(0), 400)
    order = np.argsort(truth[:, 0], kind="stable")  # a table that is sorted by its label
    texts, truth = [texts[index] for index in order], truth[order]

    first, second = (bag_of_words(texts, truth, texts, "single_label") for _ in range(2))

    assert (first == second).all()
    assert (first == truth).all(axis=1).mean() > 0.9


def test_the_majority_is_the_most_frequent_combination_of_labels():
    truth = np.array([[1, 0], [1, 1], [1, 1], [0, 0]], dtype=np.bool_)

    assert majority(truth, 3).tolist() == [[True, True]] * 3
