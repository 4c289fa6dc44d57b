"""The variants of one model: asks the one that should answer, or several in turn.

It does not know which that is (ladder.py), nor how a variant classifies.
"""

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache, partial

from serving.batching.queue import Terms
from serving.bundles.bundle import Manifest, VariantKey
from serving.bundles.cascade import Cascade
from serving.bundles.traffic import Policy
from serving.errors import DeadlineMissed, Overloaded
from serving.inference.inputs import Row, Text
from serving.variants.classifier import Answer, Classified, Classifier, Labelled
from serving.variants.selection import Offer, Wish, ladder, most_accurate, offers
from serving.variants.shadow import Unseen

_WISHES = 64
Sure = Callable[[Sequence[float]], bool]


@dataclass(frozen=True, slots=True)
class FamilyAnswer(Labelled):
    """One request's answers, in order, and what each variant was asked for them.

    `escalated` has, by stage, how many texts went on from there; None where no cascade was asked.
    """

    family: str
    answers: list[Answer]
    passes: list[Classified]
    escalated: Mapping[str, int] | None

    @property
    def tokens(self) -> int:
        """All that went through a model."""
        return sum(each.tokens for each in self.passes)

    @property
    def tokenize_s(self) -> float:
        """For all variants."""
        return sum(each.tokenize_s for each in self.passes)

    @property
    def variant(self) -> str:
        """Who answered; with commas between where several did."""
        return ",".join(dict.fromkeys(each.variant for each in self.answers))

    @property
    def version(self) -> str:
        """Of each such variant."""
        return ",".join(dict.fromkeys(each.version for each in self.answers))

    @property
    def degraded(self) -> bool:
        """Whether any text was answered by a smaller variant than intended."""
        return any(each.degraded for each in self.answers)


@dataclass(frozen=True, slots=True)
class Served:
    """The classifiers of one variant: see Deployment. `text_ms`: see Running."""

    live: Classifier
    text_ms: float
    canary: Classifier | None = None
    weight: float = 0.0
    shadow: Classifier | None = None
    share: float = 0.0


class Family:
    """All variants of one model."""

    def __init__(
        self,
        name: str,
        variants: Mapping[str, Served],
        *,
        cascade: Cascade | None,
        policy: Policy,
        on_shadow: Callable[[VariantKey, int, int], None],
        on_sample: Callable[[str, int, int], None],
        draw: Callable[[], float] = random.random,
    ) -> None:
        """`variants` are at least one; the callbacks are Recorder's."""
        self.name = name
        self.requests = 0
        """How many are being answered."""
        self.cascade = cascade
        self.policy = policy
        self._variants = variants
        self._on_shadow = on_shadow
        self._on_sample = on_sample
        self._draw = draw
        self._unseen = Unseen()
        self.manifests = [served.live.manifest for served in variants.values()]
        text_ms = {variant: served.text_ms for variant, served in variants.items()}
        self.offers = offers(self.manifests, text_ms, cascade)
        self.default_variant = most_accurate(self.offers)
        self.ladder = lru_cache(_WISHES)(
            partial(ladder, self.offers, min_accuracy=policy.min_accuracy)
        )

    @property
    def idle(self) -> bool:
        """Whether nothing is being answered, unseen answers included."""
        return not self.requests and not self._unseen

    def trying(self, variant: str) -> dict[str, str | float | None]:
        """The versions that are tried beside the live one, as VariantInfo names them."""
        served = self._variants[variant]
        return {
            "canary": served.canary.manifest.version if served.canary else None,
            "canary_weight": served.weight,
            "shadow": served.shadow.manifest.version if served.shadow else None,
        }

    def costs(self) -> list[tuple[Manifest, float]]:
        """Each variant with its Offer's cost."""
        return [
            (manifest, offer.cost)
            for manifest, offer in zip(self.manifests, self.offers, strict=False)
        ]

    async def classify(
        self, inputs: Sequence[Text | Row], terms: Terms, wish: Wish, steps: int = 0
    ) -> FamilyAnswer:
        """Answer by the wish's ladder, `steps` down or lower: by the first offer that has room.

        Raises what `ladder` raises, Overloaded or DeadlineMissed when no eligible offer has room or
        is fast enough, and what else Classifier.classify raises.
        """
        rungs = self.ladder(wish)
        self.requests += 1
        try:
            for offer in rungs[min(steps, len(rungs) - 1) :]:
                try:
                    return await self._answer(offer, rungs[0], inputs, terms, wish)
                except (Overloaded, DeadlineMissed):
                    if offer == rungs[-1]:
                        raise
        finally:
            self.requests -= 1
        raise AssertionError("a ladder is never empty: this is a bug")

    async def _answer(
        self,
        offer: Offer,
        intended: Offer,
        inputs: Sequence[Text | Row],
        terms: Terms,
        wish: Wish,
    ) -> FamilyAnswer:
        """A text is degraded where the intended offer would have asked on, or asked others."""
        stages = self._stages(offer, intended)
        answers: dict[int, Answer] = {}
        passes: list[Classified] = []
        escalated = {}
        places: Sequence[int] = range(len(inputs))
        for variant, sure in stages:
            try:
                classified = await self._pass(
                    variant, [inputs[p] for p in places], terms, alone=len(stages) == 1 and not sure
                )
            except (Overloaded, DeadlineMissed):
                if not passes or not wish.allow_degraded:
                    raise
                break
            passes.append(classified)
            for place, answer in zip(places, classified.answers, strict=True):
                answers[place] = _after(answers.get(place), answer)
            places = [place for place in places if sure and not sure(answers[place].logits)]
            escalated[variant] = len(places)
            if not places:
                break
            terms = replace(terms, since_s=passes[0].turn_s)
        if offer.variants != intended.variants[: len(offer.variants)]:
            places = range(len(inputs))
        for place in places:
            answers[place] = replace(answers[place], degraded=True)
        found = FamilyAnswer(
            passes[0].labels,
            passes[0].multi_label,
            self.name,
            [answers[place] for place in range(len(inputs))],
            passes,
            escalated if offer == intended and len(offer.variants) > 1 else None,
        )
        self._sample(found, inputs, terms)
        return found

    def _stages(self, offer: Offer, intended: Offer) -> list[tuple[str, Sure | None]]:
        """Each variant of an offer, and what says whether its answer counts; None: it does.

        A cascade that stands in for a longer one asks the longer one's thresholds to the end.
        """
        if offer.variants != intended.variants[: len(offer.variants)]:
            return [(variant, None) for variant in offer.variants]
        stages = self.cascade.stages if self.cascade and len(intended.variants) > 1 else []
        multi_label = self.manifests[0].problem_type == "multi_label"
        sure: list[Sure | None] = [partial(each.sure, multi_label=multi_label) for each in stages]
        sure[len(intended.variants) - 1 :] = [None]
        return list(zip(offer.variants, sure, strict=False))

    async def _pass(
        self, variant: str, inputs: Sequence[Text | Row], terms: Terms, *, alone: bool
    ) -> Classified:
        """One variant's answers; those of a cascade are always the calibrated version's.

        Where it answers `alone`, a canary may.
        """
        served = self._variants[variant]
        canary = served.canary if alone and self._draw() < served.weight else None
        classified = await (canary or served.live).classify(inputs, terms)
        if (shadow := served.shadow) and not canary and self._draw() < served.share:
            self._unseen.compare(
                shadow,
                inputs,
                [classified.labels_of(answer) for answer in classified.answers],
                terms,
                lambda different: self._on_shadow(shadow.key, len(inputs), different),
            )
        return classified

    def _sample(self, found: FamilyAnswer, inputs: Sequence[Text | Row], terms: Terms) -> None:
        """Ask the cascade's reference about a share of its texts too, in the background."""
        if not self.cascade or found.escalated is None or not self.policy.sample_share:
            return
        reference = self.cascade.reference
        served = self._variants.get(reference.variant)
        if not served or served.live.manifest.version != reference.version:
            return
        drawn = [p for p in range(len(inputs)) if self._draw() < self.policy.sample_share]
        asked = [p for p in drawn if found.answers[p].version != reference.version]
        if drawn and not asked:
            self._on_sample(self.name, len(drawn), 0)
        elif drawn:
            self._unseen.compare(
                served.live,
                [inputs[p] for p in asked],
                [found.labels_of(found.answers[p]) for p in asked],
                terms,
                lambda different: self._on_sample(self.name, len(drawn), different),
            )


def _after(before: Answer | None, answer: Answer) -> Answer:
    """An answer with the time of the one that was not sure enough."""
    if before is None:
        return answer
    return replace(
        answer,
        queue_s=before.queue_s + answer.queue_s,
        engine_s=before.engine_s + answer.engine_s,
    )
