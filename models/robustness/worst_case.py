"""A search for the alterations of single words that flip an answer, within a budget. Pure.

As TextBugger (Li et al. 2019) and TextFooler (Jin et al. 2020), it needs nothing but scores: words
are tried in the order of what their deletion costs, each by the best of a fixed set of candidates.
"""

from collections.abc import Callable, Generator, Sequence
from random import Random

import numpy as np

from models.evaluation.predictions import predicted
from models.evaluation.statistics import Flags, Floats
from models.perturbations import letters
from models.perturbations.words import whole_case
from models.recipe_sections import ProblemType

Search = Generator[list[str], Floats, bool]
"""Yields texts to score, is sent their margins, (texts,), and returns whether one is below 0."""
_CHANGES = (
    letters.typo, letters.drop, letters.double, letters.confusable, letters.hide, whole_case,
)  # fmt: skip

# How far below 0 a text is whose labels have equal logits, and which gets another of them.
_TIE = 1e-12


def margins(logits: Floats, plain: Flags, problem_type: ProblemType) -> Floats:
    """Return how far each text is from another answer than `plain`, (texts,); below 0 it has one.

    `logits` has the shape (texts, labels), `plain` (labels,). A text without tokens has no answer,
    and is infinitely far.
    """
    if problem_type == "multi_label":
        found = np.where(plain, logits, -logits).min(axis=1)
    else:
        own = logits[:, plain].max(axis=1)
        found = own - np.where(plain, -np.inf, logits).max(axis=1)
    same = (predicted(np.nan_to_num(logits), problem_type) == plain).all(axis=1)
    found = np.where(same, found, np.minimum(found, -_TIE))
    return np.asarray(np.where(np.isnan(logits).any(axis=1), np.inf, found))


def search(text: str, budget: int, seed: int) -> Search:
    """Look for a text with another answer, in at most `budget` texts.

    A third of the budget at most finds the order of the words. What lowers the margin is kept, and
    the next word is altered beside it.
    """
    chosen = Random(f"{seed} {text}")  # noqa: S311 (candidates, not secrets)
    words = text.split()
    least = np.inf
    order = list(range(len(words)))
    left = budget
    if len(words) > 1 and budget >= 3:
        tried = order[: budget // 3]
        found = yield [" ".join(words[:at] + words[at + 1 :]) for at in tried]
        left -= len(tried)
        order = [tried[int(at)] for at in np.argsort(found, kind="stable")]
        order += range(len(tried), len(words))
    for at in order:
        candidates = _candidates(words, at, chosen)[:left]
        if not candidates:
            continue
        found = yield [" ".join(each) for each in candidates]
        left -= len(candidates)
        best = int(np.argmin(found))
        if found[best] < 0:
            return True
        if found[best] < least:
            least, words = float(found[best]), candidates[best]
    return False


def flipped(
    texts: Sequence[str],
    score: Callable[[Sequence[str], Sequence[int]], Floats],
    budget: int,
    seed: int,
    done: Callable[[], object] = lambda: None,
) -> Flags:
    """Return which texts the search flips, (texts,).

    All searches take a step together: `score` is given all their candidates with the index of the
    text that each is of, and returns margins. `done` is called for each text that is finished.
    """
    result = np.zeros(len(texts), dtype=np.bool_)
    searches = {at: search(text, budget, seed) for at, text in enumerate(texts)}
    asked: dict[int, list[str]] = {}
    answers: dict[int, Floats | None] = dict.fromkeys(searches)
    while answers:
        asked = {}
        for at, answer in answers.items():
            try:
                asked[at] = searches[at].send(answer)  # type: ignore[arg-type]
            except StopIteration as stopped:
                result[at] = stopped.value
                done()
        of = [at for at, its in asked.items() for _ in its]
        if not of:
            break
        found = score([text for its in asked.values() for text in its], of)
        ends = np.cumsum([len(its) for its in asked.values()])[:-1]
        answers = dict(zip(asked, np.split(found, ends), strict=True))
    return result


def _candidates(words: list[str], at: int, chosen: Random) -> list[list[str]]:
    """The words with one of them altered, or exchanged with the next."""
    others = [change(words[at], chosen) for change in _CHANGES]
    found = [
        [*words[:at], each, *words[at + 1 :]] for each in others if each not in (None, words[at])
    ]
    if at + 1 < len(words):
        found.append([*words[:at], words[at + 1], words[at], *words[at + 2 :]])
    return found
