"""What becomes of a request, by its texts' answers or by why there are none. Pure."""

from collections.abc import Collection
from typing import Literal, NamedTuple

from serving.errors import (
    BodyTimeout,
    BodyTooLarge,
    InvalidField,
    MalformedBody,
    ServedError,
    TextTooLong,
    TooManyTexts,
    UnsupportedMediaType,
)
from serving.variants.answers import FamilyAnswer, Misconfigured, Undecided
from serving.variants.family import Family

Judged = Literal["passed", "no_text", "marked", "blocked"]
Failed = Literal["refused", "failed_open", "failed_closed"]
CLIENTS_FAULTS = (
    BodyTimeout, BodyTooLarge, InvalidField, MalformedBody, TextTooLong, TooManyTexts,
    UnsupportedMediaType,
)  # fmt: skip
"""What a client can mend. None opens a guard that fails open, or its clients could."""


class Verdict(NamedTuple):
    """What becomes of a request.

    `label` is the flagged label with the highest score, "" if none is flagged. `error` is why the
    texts could not be judged.
    """

    outcome: Judged | Failed
    label: str = ""
    score: float = 0.0
    error: ServedError | None = None

    @property
    def goes_on(self) -> bool:
        """Whether the request goes on."""
        return self.outcome not in {"blocked", "refused", "failed_closed"}


def judged(answered: FamilyAnswer, harmless: Collection[str] | None, *, blocks: bool) -> Verdict:
    """Judge a request by its texts' answers.

    Raises Undecided if no text is flagged and one is undecided, and Misconfigured.
    """
    found, doubt = [], None
    for answer in answered.answers:
        try:
            flags = answered.flags(answer, harmless)
        except Undecided as error:
            doubt = error
            continue
        found += [
            (answer.scores[answered.labels.index(label)], label)
            for label, flagged in flags.items()
            if flagged
        ]
    if found:
        score, label = max(found)
        return Verdict("blocked" if blocks else "marked", label, score)
    if doubt:
        raise doubt
    return Verdict("passed")


def check_kind(family: Family) -> None:
    """Raise Misconfigured if a family reads no single texts, or answers no labels."""
    manifest = family.default_manifest
    if manifest.pairs or manifest.tensors or manifest.problem_type == "regression":
        raise Misconfigured(
            f"{family.name} does not classify single texts: name a family that does",
            field="model",
            value=family.name,
        )


def failed(error: ServedError, *, opens: bool) -> Verdict:
    """Make the verdict of a request whose texts could not be judged."""
    if isinstance(error, CLIENTS_FAULTS):
        return Verdict("refused", error=error)
    return Verdict("failed_open" if opens else "failed_closed", error=error)
