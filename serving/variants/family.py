"""The variants of one model: runs the selected option, or a cheaper one under overload."""

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
from serving.variants.selection import Option, Requirements, best_variant, options_of, select
from serving.variants.shadow import ShadowRequests

_CACHED_SELECTIONS = 64
Sure = Callable[[Sequence[float]], bool]


@dataclass(frozen=True, slots=True)
class FamilyAnswer(Labelled):
    """One request's answers, in order, and the pass of each variant that ran for them.

    `escalated` counts by stage the texts that escalated from it; None if no cascade ran.
    """

    family: str
    answers: list[Answer]
    passes: list[Classified]
    escalated: Mapping[str, int] | None

    @property
    def tokens(self) -> int:
        """Tokens that went through a model, in all passes."""
        return sum(each.tokens for each in self.passes)

    @property
    def tokenize_s(self) -> float:
        """Seconds of tokenization, in all passes."""
        return sum(each.tokenize_s for each in self.passes)

    @property
    def queue_s(self) -> float:
        """Longest wait of a text."""
        return max([answer.queue_s for answer in self.answers])

    @property
    def engine_s(self) -> float:
        """Longest batch of a text."""
        return max([answer.engine_s for answer in self.answers])

    @property
    def variant(self) -> str:
        """The variants that answered, separated by commas."""
        return ",".join(dict.fromkeys(each.variant for each in self.answers))

    @property
    def version(self) -> str:
        """The versions of these variants, separated by commas."""
        return ",".join(dict.fromkeys(each.version for each in self.answers))

    @property
    def degraded(self) -> bool:
        """Whether a smaller variant than intended answered any text."""
        return any(each.degraded for each in self.answers)


@dataclass(frozen=True, slots=True)
class Served:
    """The classifiers of one variant (see Deployment), and its slot time (see Running)."""

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
        """`variants` has at least one; the callbacks are Recorder's."""
        self.name = name
        self.requests = 0
        """Number of requests in progress."""
        self.cascade = cascade
        self.policy = policy
        self._variants = variants
        self._on_shadow = on_shadow
        self._on_sample = on_sample
        self._draw = draw
        self._shadow_requests = ShadowRequests()
        self.manifests = [served.live.manifest for served in variants.values()]
        text_ms = {variant: served.text_ms for variant, served in variants.items()}
        self.options = options_of(self.manifests, text_ms, cascade)
        self.default_variant = best_variant(self.options)
        self.default_manifest = variants[self.default_variant].live.manifest
        self.select = lru_cache(_CACHED_SELECTIONS)(
            partial(select, self.options, min_accuracy=policy.min_accuracy)
        )

    @property
    def idle(self) -> bool:
        """Whether no request is in progress, shadow requests included."""
        return not self.requests and not self._shadow_requests

    def trial_versions(self, variant: str) -> dict[str, str | float | None]:
        """Return the canary and the shadow of a variant, as fields of VariantInfo."""
        served = self._variants[variant]
        return {
            "canary": served.canary.manifest.version if served.canary else None,
            "canary_weight": served.weight,
            "shadow": served.shadow.manifest.version if served.shadow else None,
        }

    def costs(self) -> list[tuple[Manifest, float]]:
        """Return each variant with its relative cost (see Option)."""
        return [
            (manifest, option.cost)
            for manifest, option in zip(self.manifests, self.options, strict=False)
        ]

    async def classify(
        self,
        inputs: Sequence[Text | Row],
        terms: Terms,
        requirements: Requirements,
        steps: int = 0,
    ) -> FamilyAnswer:
        """Answer by the first selected option that has room and time, after skipping `steps`.

        Raises what `select` raises, Overloaded or DeadlineMissed when no option has room or time,
        and what else Classifier.classify raises.
        """
        options = self.select(requirements)
        self.requests += 1
        try:
            for option in options[min(steps, len(options) - 1) :]:
                try:
                    return await self._answer(option, options[0], inputs, terms, requirements)
                except (Overloaded, DeadlineMissed):
                    if option == options[-1]:
                        raise
        finally:
            self.requests -= 1
        raise AssertionError("a selection is never empty: this is a bug")

    async def _answer(
        self,
        option: Option,
        intended: Option,
        inputs: Sequence[Text | Row],
        terms: Terms,
        requirements: Requirements,
    ) -> FamilyAnswer:
        """Run an option; a text is degraded if the intended one would have gone beyond it.

        That is, if it would have escalated further or used other variants.
        """
        stages = self._stages(option, intended)
        truncate = requirements.truncate
        answers: dict[int, Answer] = {}
        passes: list[Classified] = []
        escalated = {}
        places: Sequence[int] = range(len(inputs))
        for variant, sure in stages:
            try:
                classified = await self._pass(
                    variant,
                    [inputs[p] for p in places],
                    terms,
                    truncate=truncate,
                    alone=len(stages) == 1 and not sure,
                )
            except (Overloaded, DeadlineMissed):
                if not passes or not requirements.allow_degraded:
                    raise
                break
            passes.append(classified)
            for place, answer in zip(places, classified.answers, strict=True):
                answers[place] = _with_times_of(answers.get(place), answer)
            places = [place for place in places if sure and not sure(answers[place].logits)]
            escalated[variant] = len(places)
            if not places:
                break
            terms = replace(terms, start_tag_s=passes[0].start_tag_s)
        if option.variants != intended.variants[: len(option.variants)]:
            places = range(len(inputs))
        for place in places:
            answers[place] = replace(answers[place], degraded=True)
        found = FamilyAnswer(
            passes[0].labels,
            passes[0].multi_label,
            self.name,
            [answers[place] for place in range(len(inputs))],
            passes,
            escalated if option == intended and len(option.variants) > 1 else None,
        )
        self._sample(found, inputs, terms, truncate=truncate)
        return found

    def _stages(self, option: Option, intended: Option) -> list[tuple[str, Sure | None]]:
        """List an option's variants, each with its test for being sure; None accepts any answer.

        A cascade that replaces a longer one keeps the longer one's thresholds to its end.
        """
        if option.variants != intended.variants[: len(option.variants)]:
            return [(variant, None) for variant in option.variants]
        stages = self.cascade.stages if self.cascade and len(intended.variants) > 1 else []
        multi_label = self.manifests[0].problem_type == "multi_label"
        sure: list[Sure | None] = [partial(each.sure, multi_label=multi_label) for each in stages]
        sure[len(intended.variants) - 1 :] = [None]
        return list(zip(option.variants, sure, strict=False))

    async def _pass(
        self,
        variant: str,
        inputs: Sequence[Text | Row],
        terms: Terms,
        *,
        truncate: bool,
        alone: bool,
    ) -> Classified:
        """Classify with one variant, or with its canary if the variant answers `alone`.

        A cascade always uses the versions that it was calibrated with.
        """
        served = self._variants[variant]
        canary = served.canary if alone and self._draw() < served.weight else None
        classified = await (canary or served.live).classify(inputs, terms, truncate=truncate)
        if (shadow := served.shadow) and not canary and self._draw() < served.share:
            self._shadow_requests.compare(
                shadow,
                inputs,
                [classified.labels_of(answer) for answer in classified.answers],
                terms,
                lambda different: self._on_shadow(shadow.key, len(inputs), different),
                truncate=truncate,
            )
        return classified

    def _sample(
        self, found: FamilyAnswer, inputs: Sequence[Text | Row], terms: Terms, *, truncate: bool
    ) -> None:
        """Compare a sample of a cascade's answers with its reference's, in the background."""
        if not self.cascade or found.escalated is None or not self.policy.sample_share:
            return
        reference = self.cascade.reference
        served = self._variants.get(reference.variant)
        if not served or served.live.manifest.version != reference.version:
            return
        drawn = [p for p in range(len(inputs)) if self._draw() < self.policy.sample_share]
        others = [p for p in drawn if found.answers[p].version != reference.version]
        if drawn and not others:
            self._on_sample(self.name, len(drawn), 0)
        elif drawn:
            self._shadow_requests.compare(
                served.live,
                [inputs[p] for p in others],
                [found.labels_of(found.answers[p]) for p in others],
                terms,
                lambda different: self._on_sample(self.name, len(drawn), different),
                truncate=truncate,
            )


def _with_times_of(before: Answer | None, answer: Answer) -> Answer:
    """Add the times of the answer that was not sure enough."""
    if before is None:
        return answer
    return replace(
        answer,
        queue_s=before.queue_s + answer.queue_s,
        engine_s=before.engine_s + answer.engine_s,
    )
