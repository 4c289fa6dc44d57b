"""The variants of one model: runs the selected option, or a cheaper one under overload."""

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache, partial

from serving.batching.queue import Terms
from serving.bundles.bundle import Manifest, VariantKey
from serving.bundles.cascade import Cascade
from serving.bundles.decisions import Decisions, applied
from serving.bundles.ranking import ranked
from serving.bundles.traffic import Policy, allowed
from serving.bundles.windows import Windows
from serving.errors import DeadlineMissed, Overloaded
from serving.inference.inputs import Handling, Row, Text
from serving.variants.answers import Answer, Classified, FamilyAnswer, summed_up
from serving.variants.classifier import Classifier
from serving.variants.selection import (
    ANY,
    Requirements,
    options_of,
    select,
)
from serving.variants.shadow import ShadowRequests
from serving.variants.ways import Way, ways_of

_CACHED_SELECTIONS = 64


@dataclass(slots=True)
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
        decisions: Decisions | None = None,
        decides: bool = False,
        on_shadow: Callable[[VariantKey, int, int], None],
        on_sample: Callable[[str, int, int], None],
        draw: Callable[[], float] = random.random,
        windows: Windows | None = None,
    ) -> None:
        """`variants` has at least one that reaches the floor; the callbacks are Recorder's.

        One that `decides` without `decisions` has a file of them that is refused.
        """
        self.name = name
        self.requests = 0
        """Number of requests in progress."""
        self.cascade = cascade
        self.policy = policy
        self.windows = windows or Windows()
        self._variants = variants
        self._on_shadow = on_shadow
        self._on_sample = on_sample
        self._draw = draw
        self._shadow_requests = ShadowRequests()
        self.manifests = [served.live.manifest for served in variants.values()]
        text_ms = {variant: served.text_ms for variant, served in variants.items()}
        self.applied = applied(
            decisions, self.manifests, cascade, self.windows, refused=decides and not decisions
        )
        self._decided_long = decisions.long if decisions else None
        self._one_sided = cascade.one_sided if cascade else frozenset()
        answering = [each.variant for each in allowed(ranked(self.manifests), policy.floor)]
        self.options = options_of(
            self.manifests, text_ms, cascade, below=variants.keys() - set(answering)
        )
        self.default_variant = answering[0]
        default = variants[self.default_variant].live
        self.default_manifest, self.default_key = default.manifest, default.key
        self.select = lru_cache(_CACHED_SELECTIONS)(
            partial(select, self.options, min_accuracy=policy.min_accuracy)
        )
        # Without a reference to the family, which would need the garbage collector to go.
        self._ways = lru_cache(_CACHED_SELECTIONS)(
            partial(
                ways_of,
                self.select,
                stages=cascade.stages if cascade else (),
                labels=self.manifests[0].labels,
                multi_label=self.manifests[0].multi_label,
            )
        )
        self.most_steps = len(self.select(ANY)) - 1
        """Number of options that a usual request may skip under overload."""

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

    def classifier_of(self, answer: Answer) -> Classifier:
        """Return what gave an answer of this family: a variant's live version or its canary."""
        served = self._variants[answer.variant]
        canary = served.canary
        return canary if canary and canary.manifest.version == answer.version else served.live

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
        ways = self._ways(requirements)
        self.requests += 1
        try:
            for way in ways[min(steps, len(ways) - 1) :]:
                try:
                    return await self._answer(way, inputs, terms, requirements)
                except (Overloaded, DeadlineMissed):
                    if way is ways[-1]:
                        raise
        finally:
            self.requests -= 1
        raise AssertionError("a selection is never empty: this is a bug")

    async def _answer(
        self,
        way: Way,
        inputs: Sequence[Text | Row],
        terms: Terms,
        requirements: Requirements,
    ) -> FamilyAnswer:
        """Run an option; a text is degraded if the intended one would have gone beyond it.

        That is, if it would have escalated further or used other variants.
        """
        stages = way.stages
        long = requirements.long or self.windows.long
        answers: list[Answer] = []
        passes: list[Classified] = []
        escalated = {}
        places: Sequence[int] = ()
        for variant, sure in stages:
            its_inputs = [inputs[place] for place in places] if passes else inputs
            served = self._variants[variant]
            try:
                if served.canary or served.shadow:
                    alone = len(stages) == 1 and not sure
                    classified = await self._trial(
                        served, its_inputs, terms, long=long, alone=alone
                    )
                else:
                    classified = await served.live.classify(its_inputs, terms, long=long)
            except (Overloaded, DeadlineMissed):
                if not passes or not requirements.allow_degraded:
                    raise
                break
            passes.append(classified)
            if len(passes) == 1:
                answers, places = classified.answers, range(len(inputs))
            else:
                # Each pass keeps the times of its own.
                answers = list(answers)
                for place, answer in zip(places, classified.answers, strict=True):
                    answers[place] = replace(
                        answer,
                        queue_s=answers[place].queue_s + answer.queue_s,
                        engine_s=answers[place].engine_s + answer.engine_s,
                        whole=answers[place].whole and answer.whole,
                    )
            places = [place for place in places if not sure(answers[place].logits)] if sure else ()
            escalated[variant] = len(places)
            if not places:
                break
            terms = replace(terms, start_tag_s=passes[0].start_tag_s)
        for place in range(len(inputs)) if way.replaces else places:
            answers[place].degraded = True
        found = summed_up(
            self.name, answers, passes, escalated if way.cascades else None,
            self.applied.thresholds and {} if way.shortened else self.applied.thresholds,
            decides_long=long == self._decided_long, one_sided=self._one_sided,
        )  # fmt: skip
        if self.cascade and found.escalated is not None and self.policy.sample_share:
            self._sample(self.cascade, found, inputs, terms, long=long)
        return found

    async def _trial(
        self,
        served: Served,
        inputs: Sequence[Text | Row],
        terms: Terms,
        *,
        long: Handling,
        alone: bool,
    ) -> Classified:
        """Classify with a variant whose next version is tried.

        The canary takes part if the variant answers `alone`: a cascade always uses the versions
        that it was calibrated with.
        """
        canary = served.canary if alone and self._draw() < served.weight else None
        classified = await (canary or served.live).classify(inputs, terms, long=long)
        if (shadow := served.shadow) and not canary and self._draw() < served.share:
            self._shadow_requests.compare(
                shadow,
                inputs,
                [classified.labels_of(answer) for answer in classified.answers],
                terms,
                lambda different: self._on_shadow(shadow.key, len(inputs), different),
                long=long,
            )
        return classified

    def _sample(
        self,
        cascade: Cascade,
        found: FamilyAnswer,
        inputs: Sequence[Text | Row],
        terms: Terms,
        *,
        long: Handling,
    ) -> None:
        """Compare a sample of a cascade's answers with its reference's, in the background."""
        reference = cascade.reference
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
                long=long,
            )
