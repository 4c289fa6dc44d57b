"""Explains a family's answers: runs what `inference/explanation.py` plans, in the usual batches."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import cast

import numpy as np

from serving.batching.queue import Terms
from serving.errors import InvalidField
from serving.inference.explanation import (
    Explanation,
    Method,
    Plan,
    grouped_words,
    most_groups,
    perturbed,
    plan,
)
from serving.inference.inputs import Row, Text
from serving.inference.words import Word, words_of
from serving.large_work import LargeWork
from serving.variants.answers import Answer, Classified, FamilyAnswer
from serving.variants.classifier import Classifier
from serving.variants.family import Family

MOST_EVALUATIONS = 4000
"""The most texts that one request's explanations may evaluate: its texts times the budget."""
_BACKGROUND = 7
_PIECE = 128


@dataclass(frozen=True, slots=True)
class Explain:
    """How to explain: with `budget` evaluated texts each; no `label` means the predicted one."""

    method: Method
    top: int
    budget: int
    label: str | None


@dataclass(frozen=True, slots=True)
class Means:
    """What an explanation needs of the server.

    `terms` are the request's; `charge` is that of the runtime, which leaves out the text that the
    request was admitted with; None without limits.
    """

    terms: Terms
    large_work: LargeWork
    charge: Callable[[int], None] | None


def check(wanted: Explain, family: Family, inputs: Sequence[Text | Row]) -> None:
    """Raise InvalidField if the inputs cannot be explained so."""
    for index, each in enumerate(inputs):
        if not isinstance(each, str):
            raise InvalidField(
                "only single texts can be explained: leave out explain",
                field=f"texts[{index}]",
                limit="one text at a time",
                value="pairs of texts" if isinstance(each, tuple) else "tensors",
            )
    labels = family.default_manifest.labels
    if wanted.label is not None and wanted.label not in labels:
        raise InvalidField(
            f"{family.name} has no such label",
            field="explain.label",
            limit=labels,
            value=wanted.label,
        )
    evaluations = len(inputs) * wanted.budget
    if evaluations > MOST_EVALUATIONS:
        raise InvalidField(
            "the texts times explain.budget exceed the limit: send fewer texts or a smaller budget",
            field="explain.budget",
            limit=MOST_EVALUATIONS // len(inputs),
            value=wanted.budget,
        )


async def explain(
    family: Family,
    answered: FamilyAnswer,
    texts: Sequence[Text | Row],
    wanted: Explain,
    means: Means,
) -> None:
    """Add an explanation to each answer and its tokens to `answered`, for texts that pass `check`.

    The variant and version that answered a text evaluates its perturbed texts, as background work
    of the caller, who is charged for them. Raises what Classifier.classify raises, and InvalidField
    for a text that was cut into windows.
    """
    for index, answer in enumerate(answered.answers):
        if answer.windows:
            raise InvalidField(
                f"texts[{index}] was answered in {answer.windows.count} windows, which cannot be "
                "explained together: truncate it, or send the window that decides as a text",
                field="explain",
                limit=1,
                value=answer.windows.count,
            )
    terms = means.terms
    background = terms.flow._replace(urgency=_BACKGROUND)
    means = replace(means, terms=replace(terms, flow=background))
    family.requests += 1
    try:
        for answer, text in zip(answered.answers, texts, strict=True):
            classifier = family.classifier_of(answer)
            answer.explanation, tokens = await _explained(
                classifier, cast("str", text), answer, wanted, means
            )
            answered.tokens += tokens
    finally:
        family.requests -= 1


async def _explained(
    classifier: Classifier, text: str, answer: Answer, wanted: Explain, means: Means
) -> tuple[Explanation, int]:
    """Explain one answer; return the tokens that it took too."""
    labels = classifier.manifest.labels
    label = wanted.label or labels[answer.scores.index(max(answer.scores))]
    place = labels.index(label)

    def prepared() -> tuple[list[list[Word]], Plan]:
        groups = grouped_words(words_of(text), most_groups(wanted.method, wanted.budget))
        return groups, plan(wanted.method, len(groups), wanted.budget)

    until_s = means.terms.deadline_s
    groups, planned = await means.large_work.do(prepared, until_s)
    evaluations = len(planned.kept)
    if means.charge:
        means.charge(evaluations)
    scores, tokens = [answer.scores[place]], 0
    for start in range(1, evaluations, _PIECE):
        rows = planned.kept[start : start + _PIECE]
        piece = await means.large_work.do(partial(perturbed, text, groups, rows), until_s)
        found = await _classified(classifier, piece, means.terms)
        scores += [each.scores[place] for each in found.answers]
        tokens += found.tokens
    explanation = planned.explanation(text, groups, label, np.array(scores), wanted.top)
    return explanation, tokens


async def _classified(classifier: Classifier, texts: Sequence[str], terms: Terms) -> Classified:
    try:
        return await classifier.classify(texts, terms, long="truncate")
    except InvalidField as error:
        raise InvalidField(
            "the text cannot be explained: without some of its words "
            f"{classifier.manifest.variant} finds no token in it",
            field="explain",
        ) from error
