"""What a model must beat: the most frequent answer, and a bag of words."""

from collections.abc import Sequence

import numpy as np
from sklearn.feature_extraction.text import HashingVectorizer, TfidfTransformer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline, make_union

from models.evaluation.statistics import Flags, Floats
from models.recipe_sections import ProblemType

_SEED = 0
# So many that it takes seconds, whatever the data.
_MOST_TEXTS = 20_000
_MOST_CHARACTERS = 1_000
_FEATURES = 2**18
_CERTAIN = 1e9
_WEAK_PENALTY = 10.0


def majority(truth: Flags, texts: int) -> Flags:
    """Answer the most frequent combination of labels to each of so many texts.

    `truth` and the result have the shape (texts, labels).
    """
    rows, counts = np.unique(truth, axis=0, return_counts=True)
    return np.tile(rows[counts.argmax()], (texts, 1))


def bag_of_words(
    texts: Sequence[str], truth: Flags, asked: Sequence[str], problem_type: ProblemType
) -> Flags:
    """Train on `texts` and their `truth` (texts, labels); return the labels of the texts `asked`.

    A logistic regression per label on words, their pairs, characters and theirs, so that scripts
    without spaces are read, too. Long texts are cut, and of many a seeded sample is trained on.
    """
    chosen = np.random.default_rng(_SEED).permutation(len(texts))[:_MOST_TEXTS]
    features = make_pipeline(
        make_union(
            HashingVectorizer(
                ngram_range=(1, 2),
                token_pattern=r"\w+",  # noqa: S106 (no password)
                n_features=_FEATURES,
            ),
            HashingVectorizer(ngram_range=(1, 2), analyzer="char", n_features=_FEATURES),
        ),
        TfidfTransformer(),
    )
    known = features.fit_transform([texts[index][:_MOST_CHARACTERS] for index in chosen])
    new = features.transform([text[:_MOST_CHARACTERS] for text in asked])
    scores = np.stack([_scores(known, column[chosen], new) for column in truth.T], axis=1)
    if problem_type == "multi_label":
        return np.asarray(scores >= 0)
    return np.asarray(np.eye(truth.shape[1], dtype=np.bool_)[scores.argmax(axis=1)])


def _scores(known: object, truth: Flags, new: np.ndarray) -> Floats:
    """The log odds that the new texts have one label."""
    if truth.all() or not truth.any():
        return np.full(new.shape[0], _CERTAIN if truth.all() else -_CERTAIN)
    model = LogisticRegression(C=_WEAK_PENALTY, solver="liblinear", dual=True, random_state=_SEED)
    return np.asarray(model.fit(known, truth).decision_function(new))
