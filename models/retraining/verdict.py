"""Which of two versions is right more often, by feedback, however often one looks. Pure."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Literal

from models.evaluation.sequential import Counts, estimates
from models.monitoring.log import Row, was_right
from serving.bundles.evaluation import Estimate
from serving.bundles.files import Frozen, Name


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
    """Each variant by itself."""

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
        return {
            "promote": f"{found}: shown to be less than {margin} worse.",
            "withdraw": f"{found}: shown to be worse.",
            "undecided": f"{found}: neither shown to be worse, nor to be less than {margin} worse.",
        }[self.decision]


def judge(
    feedback: Sequence[Row], canaries: Canaries, margin: float = 0.02, confidence: float = 0.95
) -> Verdict:
    """Decide on canaries by the rows of `FamilyLog.feedback`.

    Only feedback on answers since the start counts, of the versions that are compared, and not on
    those of a cascade or under overload: no canary takes part in a cascade. As far as a row says
    when and how the answer was given. The variants are pooled, as each splits its traffic by the
    same weight. A canary that is shown to be worse is withdrawn, be it by less than `margin`; one
    that is shown to be less than `margin` worse is promoted, unless feedback calls no answer right:
    where callers only complain, all rates are 0. Over all looks together, one that is not worse is
    withdrawn with a probability of at most 1 - confidence, and one that is worse by `margin` or
    more promoted with at most that (see sequential.py, also for what is assumed).
    Raises ValueError unless the margin is 0 or more, and the confidence between 0 and 1.
    """
    if margin < 0:
        raise ValueError(f"the margin is {margin}: it has to be 0 or more")
    groups = [canaries.versions, *({name: its} for name, its in canaries.versions.items())]
    counts = [_counts(feedback, canaries, each) for each in groups]
    pooled, *alone = (
        Judged(canary=canary, live=live, difference=found)
        for (canary, live), found in zip(counts, estimates(counts, confidence), strict=True)
    )
    variants = dict(zip(canaries.versions, alone, strict=True))
    decision: Literal["promote", "withdraw", "undecided"] = "undecided"
    if pooled.difference.high < 0:
        decision = "withdraw"
    elif pooled.difference.low > -margin and pooled.praised:
        decision = "promote"
    return Verdict(
        decision=decision, margin=margin, confidence=confidence, pooled=pooled, variants=variants
    )


def compared_rows(
    feedback: Sequence[Row], canaries: Canaries, versions: Mapping[str, Compared]
) -> Iterator[tuple[Row, int]]:
    """Yield the rows that count, in their order, each with its place in Compared.both."""
    for row in feedback:
        compared = versions.get(row["variant"])
        answered = row.get("answered") or row["time"]
        is_fair = answered >= canaries.since and row.get("alone") is not False
        if compared and is_fair and row["version"] in compared.both:
            yield row, compared.both.index(row["version"])


def nothing_counts(feedback: Sequence[Row], canaries: Canaries) -> str:
    """Say, where no row counts, how many there are since the start, and why they do not."""
    since = sum(row["time"] >= canaries.since for row in feedback)
    of = f" that counts, of {since:,}: answers of a cascade or under overload do not"
    return f"No new or live version has feedback{of if since else ''}."


def _counts(
    feedback: Sequence[Row], canaries: Canaries, versions: Mapping[str, Compared]
) -> tuple[Counts, Counts]:
    """Count the answers of the canaries, and of the live versions."""
    right, wrong = [0, 0], [0, 0]
    for row, arm in compared_rows(feedback, canaries, versions):
        (right if was_right(row) else wrong)[arm] += 1
    canary, live = (Counts(right=r, wrong=w) for r, w in zip(right, wrong, strict=True))
    return canary, live
