"""Flagged texts: counted by what decided, and their share watched for drift. Pure."""

from serving.bundles.decisions import CASCADE
from serving.variants.answers import FamilyAnswer


def flagged_texts(answer: FamilyAnswer) -> dict[str, tuple[int, int]]:
    """Return by what decided, a variant or `cascade`, how many texts it has decided and flagged."""
    found: dict[str, tuple[int, int]] = {}
    for text in answer.answers:
        decisions = answer.decisions(text)
        if decisions is not None:
            decider = CASCADE if answer.by_cascade(text) else text.variant
            texts, flagged = found.get(decider, (0, 0))
            found[decider] = texts + 1, flagged + any(decisions.values())
    return found
