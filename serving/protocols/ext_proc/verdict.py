"""What becomes of a request, by its texts' answers or by why there are none. Pure."""

from collections.abc import Collection
from typing import Literal, NamedTuple

from serving.errors import NotReady, ServedError
from serving.variants.answers import Answer, FamilyAnswer
from serving.variants.family import Family

Judged = Literal["passed", "no_text", "marked", "blocked"]
Failed = Literal["failed_open", "failed_closed"]


class Misconfigured(NotReady):
    """Nothing can be judged until an operator changes the configuration."""

    reason = "misconfigured"


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
        return self.outcome not in {"blocked", "failed_closed"}


def judged(answered: FamilyAnswer, harmless: Collection[str] | None, *, blocks: bool) -> Verdict:
    """Judge a request by its texts' answers. Raises Misconfigured if the family flags nothing."""
    found = [
        (answer.scores[answered.labels.index(label)], label)
        for answer in answered.answers
        for label in _flagging(answered, answer, harmless)
    ]
    if not found:
        return Verdict("passed")
    score, label = max(found)
    return Verdict("blocked" if blocks else "marked", label, score)


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
    return Verdict("failed_open" if opens else "failed_closed", error=error)


def _flagging(
    answered: FamilyAnswer, answer: Answer, harmless: Collection[str] | None
) -> list[str]:
    """Return the labels that a text is flagged for."""
    flags = answered.flags(answer, harmless)
    if flags is None:
        raise Misconfigured(
            f"a label of {answered.family} applies to every text: list those that are nothing to "
            'flag in its policy.json as "harmless", or decide thresholds',
            field="model",
            value=answered.family,
        )
    return [label for label, flagged in flags.items() if flagged]
