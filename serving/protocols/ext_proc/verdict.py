"""What becomes of a request, by its texts' answers or by why there are none. Pure."""

from collections.abc import Collection
from typing import Literal, NamedTuple

from serving.errors import NotReady, ServedError
from serving.variants.answers import Answer, FamilyAnswer

Judged = Literal["passed", "no_text", "marked", "blocked"]
Failed = Literal["failed_open", "failed_closed"]
LABELS_SETTING = "SIZEWISE_EXT_PROC_LABELS"


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


def judged(answered: FamilyAnswer, chosen: Collection[str], *, blocks: bool) -> Verdict:
    """Judge a request by its texts; only labels that are `chosen` flag, or any if none is.

    Raises Misconfigured if the family cannot flag by these labels.
    """
    _check(answered, chosen)
    found = [
        (answer.scores[answered.labels.index(label)], label)
        for answer in answered.answers
        for label in _applying(answered, answer)
        if not chosen or label in chosen
    ]
    if not found:
        return Verdict("passed")
    score, label = max(found)
    return Verdict("blocked" if blocks else "marked", label, score)


def failed(error: ServedError, *, opens: bool) -> Verdict:
    """Make the verdict of a request whose texts could not be judged."""
    return Verdict("failed_open" if opens else "failed_closed", error=error)


def _applying(answered: FamilyAnswer, answer: Answer) -> list[str]:
    return answered.labels_of(answer)


def _check(answered: FamilyAnswer, chosen: Collection[str]) -> None:
    # One label applies to each text, or all values of a regression do.
    always = answered.least_score is None or answered.least_score < 0
    if chosen and not any(label in chosen for label in answered.labels):
        what = f"{answered.family} has none of the labels {sorted(chosen)}"
    elif always and not chosen:
        what = f"a label of {answered.family} applies to every text"
    else:
        return
    raise Misconfigured(
        f"{what}: name those that are flagged", field=LABELS_SETTING, limit=answered.labels
    )
