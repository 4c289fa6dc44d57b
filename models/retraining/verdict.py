"""Which of two versions is right more often, by feedback, however often one looks. Pure."""

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Literal

from models.evaluation.sequential import Counts, estimates
from serving.bundles.evaluation import Estimate
from serving.bundles.files import Frozen, Name, listed


class Compared(Frozen):
    """Two versions of one variant."""

    live: str
    """The version that answered before."""
    canary: str
    """The version that is tried."""

    @property
    def both(self) -> tuple[str, str]:
        """Canary and live version."""
        return self.canary, self.live


class Canaries(Frozen):
    """The versions that share the traffic of a family's variants."""

    since: datetime
    """From when on feedback counts."""
    weight: float
    """Share of its variant's requests that each canary answers."""
    versions: dict[Name, Compared]
    """By variant."""


class Judgement(Frozen):
    """Feedback that counts, without text and labels."""

    time: datetime
    """When it was given."""
    variant: Name
    """The variant that answered."""
    by_canary: bool
    """Whether its canary answered, not its live version."""
    is_right: bool
    """Whether the answer was right."""


class Judged(Frozen):
    """The feedback on two versions."""

    live: Counts
    """Answers of the live version."""
    canary: Counts
    """Answers of the canary."""
    difference: Estimate
    """The canary's rate of right answers minus the live version's."""

    @property
    def praised(self) -> bool:
        """Whether any answer is said to be right, so that the rates say something."""
        return self.canary.right + self.live.right > 0


class Verdict(Frozen):
    """What feedback shows of a family's canaries."""

    decision: Literal["promote", "withdraw", "undecided"]
    """What to do."""
    margin: float
    """How much worse than the live versions a canary may be."""
    confidence: float
    """Probability that the intervals hold at all looks."""
    pooled: Judged
    """All variants together, which decides."""
    variants: dict[Name, Judged]
    """Each variant by itself; their intervals hold together."""

    @property
    def worse(self) -> list[str]:
        """The variants whose canary is shown by itself to be worse."""
        return [name for name, its in self.variants.items() if its.difference.high < 0]

    @property
    def unjudged(self) -> list[str]:
        """The variants whose canary has no feedback."""
        return [name for name, its in self.variants.items() if not its.canary.n]

    @property
    def words(self) -> str:
        """What was found, in a sentence."""
        its = self.pooled
        low, value, high = (
            f"{100 * each:+.1f}"
            for each in (its.difference.low, its.difference.value, its.difference.high)
        )
        found = (
            f"By feedback on {its.canary.n:,} answers of the new versions and {its.live.n:,} "
            f"of the live ones, the new ones are right {value} points more often ({low} to {high})"
        )
        if not its.praised:
            return f"{found}: nobody said that an answer was right, so nothing can be compared."
        margin = f"{100 * self.margin:g} points"
        by_itself = f"{listed(self.worse)} by itself " if its.difference.high >= 0 else ""
        decided = {
            "promote": f"{found}: shown to be less than {margin} worse.",
            "withdraw": f"{found}: {by_itself}shown to be worse.",
            "undecided": f"{found}: neither shown to be worse, nor to be less than {margin} worse.",
        }[self.decision]
        if not self.unjudged:
            return decided
        return f"{decided} Without feedback on its new version: {listed(self.unjudged)}."


def judge(
    judgements: Collection[Judgement],
    canaries: Canaries,
    margin: float = 0.02,
    confidence: float = 0.95,
) -> Verdict:
    """Decide on canaries by the feedback that counts.

    The variants are pooled, as each splits its traffic by the same weight. Canaries that are shown
    to be worse, together or one of them by itself, are withdrawn, be it by less than `margin`;
    otherwise all are promoted if they are shown together to be less than `margin` worse, unless
    feedback calls no answer right: where callers only complain, all rates are 0. Over all looks
    together, canaries of which none is worse are withdrawn by the test of all with a probability of
    at most 1 - confidence, and by those of the single ones with at most that; such as are worse
    together by `margin` or more are promoted with at most that (see sequential.py, also for what
    is assumed).
    Raises ValueError unless the margin is 0 or more, and the confidence between 0 and 1.
    """
    if margin < 0:
        raise ValueError(f"the margin is {margin}: it has to be 0 or more")
    names = list(canaries.versions)
    pooled = _judged([judgements], confidence)[0]
    by_variant = [[each for each in judgements if each.variant == name] for name in names]
    alone = _judged(by_variant, 1 - (1 - confidence) / len(names))
    verdict = Verdict(
        decision="undecided", margin=margin, confidence=confidence, pooled=pooled,
        variants=dict(zip(names, alone, strict=True)),
    )  # fmt: skip
    if pooled.difference.high < 0 or verdict.worse:
        return verdict.model_copy(update={"decision": "withdraw"})
    if pooled.difference.low > -margin and pooled.praised:
        return verdict.model_copy(update={"decision": "promote"})
    return verdict


def _judged(groups: Sequence[Collection[Judgement]], confidence: float) -> list[Judged]:
    counts = [(_counts(each, by_canary=True), _counts(each, by_canary=False)) for each in groups]
    return [
        Judged(canary=canary, live=live, difference=found)
        for (canary, live), found in zip(counts, estimates(counts, confidence), strict=True)
    ]


def _counts(judgements: Collection[Judgement], *, by_canary: bool) -> Counts:
    its = [each.is_right for each in judgements if each.by_canary == by_canary]
    return Counts(right=sum(its), wrong=len(its) - sum(its))
