"""Reranking, in every protocol that has it: texts in the order of their relevance to a query.

A family of pairs with one label answers: its score of (query, text) is the relevance.
"""

from serving.bundles.probabilities import sigmoid
from serving.errors import InvalidField
from serving.variants.answers import FamilyAnswer
from serving.variants.family import Family

_NEEDED = "a family of pairs with one label"


def check_reranker(_sent: object, family: Family) -> None:
    """Raise InvalidField if a family cannot rerank."""
    manifest = family.default_manifest
    _check(family.name, len(manifest.labels) if manifest.pairs else 0)


def ranked(answered: FamilyAnswer, *, raw: bool = False) -> list[tuple[int, float]]:
    """Return each text's place in the request and its score, the highest score first.

    A score is the sigmoid of the logit, of a regression too; with `raw` the logit. Raises
    InvalidField if the variant that answered has other labels than the family's default.
    """
    _check(answered.family, len(answered.labels))
    scores = [
        (each.logits if raw else sigmoid(each.logits, each.temperature))[0]
        for each in answered.answers
    ]
    return sorted(enumerate(scores), key=lambda placed: -placed[1])


def _check(family: str, labels: int) -> None:
    if labels != 1:
        read = f"pairs with {labels} labels" if labels else "no pairs of texts"
        raise InvalidField(
            f"{family} reads {read}: reranking needs {_NEEDED}, such as a cross-encoder",
            field="model",
            limit=_NEEDED,
            value=family,
        )
