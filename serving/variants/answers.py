"""Answers: of one text, of one variant's pass over a request, and of a family to a request."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from operator import itemgetter

from serving.bundles.decisions import ENDED_WITH, ENDED_WITHOUT, Thresholds
from serving.bundles.probabilities import predicted_labels
from serving.errors import NotReady
from serving.inference.explanation import Explanation
from serving.inference.inputs import Side


class Misconfigured(NotReady):
    """Nothing can be judged until an operator changes the configuration."""

    reason = "misconfigured"


class Undecided(NotReady):
    """The family has decisions, but none that count for what answered."""

    reason = "undecided"


@dataclass(frozen=True, slots=True)
class InWindows:
    """How many windows a text was cut into, and for each label the one where it scores highest.

    That is as the first character in the text and the one after the last; of a pair, in its second
    text.
    """

    count: int
    spans: list[tuple[int, int]]


@dataclass(slots=True)
class Answer:
    """The scores of one text, in the order of the labels, with their variant and times.

    `logits` are the model's own, before `temperature` and softmax or sigmoid. `truncated` is the
    side at which the text was cut. `degraded` is set if a smaller variant than intended answered,
    and `whole` unless a variant that was asked could not read all of the text at once.
    """

    scores: list[float]
    logits: list[float]
    variant: str
    version: str
    temperature: float
    truncated: Side | None
    queue_s: float
    engine_s: float
    whole: bool = True
    degraded: bool = False
    explanation: Explanation | None = None
    windows: InWindows | None = None


@dataclass(slots=True)
class Labelled:
    """The labels that a model's scores belong to, and the score from which one is predicted."""

    labels: list[str]
    least_score: float | None

    def labels_of(self, answer: Answer) -> list[str]:
        """Return the predicted labels."""
        return predicted_labels(self.labels, answer.scores, self.least_score)

    def ranked(self, scores: Sequence[float]) -> list[dict[str, str | float]]:
        """Return every label with its score, the highest first, in the form of most protocols."""
        pairs = sorted(zip(scores, self.labels, strict=True), key=itemgetter(0), reverse=True)
        return [{"label": label, "score": score} for score, label in pairs]


@dataclass(slots=True)
class Classified(Labelled):
    """One variant's answers to a request's texts, in order, and the measurements of that.

    `started_s` is when tokenization began, on the classifier's clock; `start_tag_s` the lowest of
    the texts' start tags, None if all were cached.
    """

    variant: str
    version: str
    answers: list[Answer]
    tokens: int
    started_s: float
    tokenize_s: float
    start_tag_s: float | None


@dataclass(slots=True)
class FamilyAnswer(Labelled):
    """One request's answers, in order, and the pass of each variant that ran for them.

    `escalated` counts by stage the texts that escalated from it; None if no cascade ran. `variant`
    and `version` are those that answered, separated by commas; `degraded` tells whether a smaller
    variant than intended answered any text. `tokens` and `tokenize_s` are of all passes, `queue_s`
    and `engine_s` the longest wait and the longest batch of a text; `slowest` took the longest.
    `thresholds` are those that apply to the family, None if it has no decisions; `decides_long`
    tells whether they count for texts that were not read whole, too. `one_sided` is the cascade's.
    """

    family: str
    answers: list[Answer]
    passes: list[Classified]
    escalated: Mapping[str, int] | None
    variant: str
    version: str
    degraded: bool
    tokens: int
    tokenize_s: float
    queue_s: float
    engine_s: float
    slowest: Answer
    thresholds: Thresholds | None = None
    decides_long: bool = True
    one_sided: Collection[str] = frozenset()

    def decisions(self, answer: Answer) -> dict[str, bool] | None:
        """Return whether the text is flagged for each decided label; None if nothing is decided.

        The cascade's thresholds count for its own answers, unless a one-sided stage ended the text:
        it has decided already (see ENDED_WITH). One that overload ended earlier, or gave another
        variant, has the thresholds of the variant that answered. A long text that was read
        otherwise than when they were chosen has none.
        """
        if not self.thresholds or not (answer.whole or self.decides_long):
            return None
        key = None if self.by_cascade(answer) else (answer.variant, answer.version)
        found = self.thresholds.get(key)
        if found is None:
            return None
        if key is None and answer.variant in self.one_sided:
            applied = self.labels_of(answer)
            scores = {each: ENDED_WITH if each in applied else ENDED_WITHOUT for each in found}
        else:
            scores = dict(zip(self.labels, answer.scores, strict=True))
        return {label: scores[label] >= threshold for label, threshold in found.items()}

    def by_cascade(self, answer: Answer) -> bool:
        """Return whether it is the intended cascade's answer, rather than that of a variant."""
        return self.escalated is not None and not answer.degraded

    def flags(self, answer: Answer, harmless: Collection[str] | None) -> dict[str, bool]:
        """Return whether the text is flagged for each label that may flag one.

        Those are the decided ones; of a family without decisions, each label that is not `harmless`
        flags if it applies. Raises Undecided, and Misconfigured if a label applies to every text
        and nothing says which are harmless.
        """
        if self.thresholds is not None:
            decisions = self.decisions(answer)
            if decisions is None:
                raise self._undecided(answer)
            return decisions
        if harmless is None and (self.least_score is None or self.least_score < 0):
            raise Misconfigured(
                f"a label of {self.family} applies to every text: list those that are nothing to "
                'flag in its policy.json as "harmless", or decide thresholds',
                field="model",
                value=self.family,
            )
        applied = set(self.labels_of(answer))
        return {label: label in applied for label in self.labels if label not in (harmless or ())}

    def _undecided(self, answer: Answer) -> Undecided:
        why = (
            "no thresholds count for it: choose them again with `python -m models decide`"
            if answer.whole or self.decides_long
            else "a text was too long to be read whole, and was read otherwise than when "
            "thresholds were chosen: leave that to the family's windows.json, and let "
            "decisions.json agree"
        )
        what = f"{answer.variant} of {self.family} is undecided"
        return Undecided(f"{what}: {why}", field="model", value=self.family)


def summed_up(
    family: str,
    answers: list[Answer],
    passes: list[Classified],
    escalated: Mapping[str, int] | None,
    thresholds: Thresholds | None = None,
    *,
    decides_long: bool = True,
    one_sided: Collection[str] = frozenset(),
) -> FamilyAnswer:
    """Sum up the answers of a request (at least one) and the passes that gave them."""
    tokens, tokenize_s = 0, 0.0
    for each in passes:
        tokens += each.tokens
        tokenize_s += each.tokenize_s
    slowest = answers[0]
    queue_s, engine_s, degraded = slowest.queue_s, slowest.engine_s, slowest.degraded
    variant, version = slowest.variant, slowest.version
    if len(answers) > 1:
        variants, versions = {variant: None}, {version: None}
        for answer in answers:
            queue_s = max(queue_s, answer.queue_s)
            engine_s = max(engine_s, answer.engine_s)
            if answer.queue_s + answer.engine_s > slowest.queue_s + slowest.engine_s:
                slowest = answer
            degraded |= answer.degraded
            variants[answer.variant] = versions[answer.version] = None
        variant, version = ",".join(variants), ",".join(versions)
    first = passes[0]
    return FamilyAnswer(
        first.labels, first.least_score, family, answers, passes, escalated,
        variant, version, degraded,
        tokens, tokenize_s, queue_s, engine_s, slowest, thresholds, decides_long, one_sided,
    )  # fmt: skip
