"""One running server: its families over a runtime, the requests in progress, and its state."""

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from serving.access.api_keys import Callers
from serving.batching.admission import (
    LOADING,
    RELOADING_RETRY_AFTER_S,
    check_ready,
    check_requests,
    not_ready,
)
from serving.batching.queue import Clock, Flow
from serving.bundles.bundle import Bundle, key
from serving.bundles.traffic import Deployment, Deployments, Policy
from serving.bundles.windows import Windows
from serving.errors import NotReady, UnknownModel
from serving.feedback.recorder import AnswerRecorder
from serving.inference.inputs import Row, Text, chars
from serving.inference.windows import windowing_of
from serving.large_work import LargeWork
from serving.logs import log
from serving.runtime.arrivals import Arrivals
from serving.runtime.in_flight import InFlight
from serving.runtime.interface import Runtime
from serving.runtime.shared import Shared
from serving.settings import Settings
from serving.variants.brownout import Brownouts
from serving.variants.classifier import Classifier
from serving.variants.family import Family, Served
from serving.variants.selection import AUTO, Requirements

_IDLE_EVERY_S = 0.05
_CHARS_OF_A_TOKEN = 4
_SIZES = ("small", "medium", "large")


class Service:
    """Becomes ready through `follow`; refuses new requests once `draining` is set.

    Raises StartError when the callers' file is wrong, or there is no thread left.
    """

    def __init__(self, settings: Settings, runtime: Runtime, clock: Clock = time.monotonic) -> None:
        self.settings = settings
        self.runtime = runtime
        self.callers = Callers(settings, runtime.recorder.record_callers_failure)
        keeps = settings.feedback_texts or settings.text_log
        self.answers = AnswerRecorder(settings, runtime.feedback) if keeps else None
        """Notes answers down; None if nothing is kept of them."""
        self.starting = True
        """Whether no models have been served yet, nor by a process that this one replaces."""
        self.draining = False
        self.stopping = asyncio.Event()
        """Set when new connections end: what serves beside HTTP drains at the same time."""
        self.out_of_time: set[asyncio.Task[Any]] = set()
        """The requests that still ran when the drain was over: they are cancelled, and refused."""
        self.in_flight = InFlight()
        self.arrivals = Arrivals(self.in_flight, settings.max_requests, clock)
        self.page = Shared(lambda: runtime.page(ready=self.ready))
        """The metrics page and its content type; to render it takes milliseconds."""
        self.families: dict[str, Family] = {}
        self.deployments = Deployments()
        self._default: str | None = settings.default_model
        """The family of requests that name none."""
        self._brownouts = Brownouts(settings.brownout_ms / 1e3)
        self._changed = asyncio.Event()
        self.followed = asyncio.Event()
        """Set once the runtime has said what it serves."""
        self._clock = clock
        self.large_work = LargeWork(settings.max_deadline_ms / 1e3, clock)

    def check_ready(self) -> None:
        """Raise NotReady or Draining unless new requests are welcome."""
        check_ready(self._trouble, draining=self.draining, starting=self.starting)
        if missing := self.deployments.missing:
            reasons = "; ".join(f"{name}: {reason}" for name, reason in missing.items())
            raise not_ready(f"not everything is served that must be: {reasons}")

    @property
    def ready(self) -> bool:
        """Whether new requests are welcome."""
        return self.alive and not self.draining and not self.deployments.missing

    @property
    def alive(self) -> bool:
        """Whether everything is loaded and every engine responds."""
        return self.deployments.revision > 0 and self.runtime.alive

    async def follow(self, on_loaded: Callable[[], None]) -> None:
        """Serve what the runtime has loaded, each time that it changes.

        Call `on_loaded` once, when nothing is missing.

        Raises EngineFailed when the engines have gone.
        """
        complete = False
        async for deployments in self.runtime.follow():
            before = list(self.families.values())
            self.families = {
                name: self._family(name, variants, deployments)
                for name, variants in deployments.families.items()
            }
            self.deployments, self.starting = deployments, False
            known = self._known()
            self._default = self.settings.default_model or (known[0] if len(known) == 1 else None)
            self._changed.set()
            self._changed = asyncio.Event()
            self.followed.set()
            if not complete and not deployments.missing:
                complete = True
                on_loaded()
            await self._until_idle(before)

    def _family(
        self, name: str, variants: Mapping[str, Deployment], deployments: Deployments
    ) -> Family:
        recorder = self.runtime.recorder
        windows = deployments.windows.get(name, Windows())
        classifier = partial(self._classifier, windows)
        served = {
            variant: Served(
                live=classifier(deployment.live),
                text_ms=self.runtime.running[key(deployment.live)].text_ms,
                canary=classifier(deployment.canary) if deployment.canary else None,
                weight=deployment.weight,
                shadow=classifier(deployment.shadow) if deployment.shadow else None,
                share=deployment.share,
            )
            for variant, deployment in variants.items()
        }
        return Family(
            name,
            served,
            cascade=deployments.cascades.get(name),
            decisions=deployments.decisions.get(name),
            decides=name in deployments.decisions,
            policy=deployments.policies.get(name, Policy()),
            windows=windows,
            on_shadow=recorder.record_shadow,
            on_sample=recorder.record_sample,
        )

    def _classifier(self, windows: Windows, bundle: Bundle) -> Classifier:
        settings = self.settings
        return Classifier(
            bundle,
            self.runtime.tokenizers.get(key(bundle)),
            self.runtime,
            self.large_work,
            self._clock,
            windowing=windowing_of(
                windows, bundle.manifest, settings.max_windows, settings.max_queue_texts
            ),
        )

    async def _until_idle(self, families: Sequence[Family]) -> None:
        """Wait until these have no request in progress, or until every one must have ended."""
        settings = self.settings
        most_s = (settings.max_deadline_ms + settings.engine_timeout_ms) / 1e3
        for _ in range(round(most_s / _IDLE_EVERY_S)):
            if all(family.idle for family in families):
                return
            await asyncio.sleep(_IDLE_EVERY_S)

    @property
    def has_room(self) -> bool:
        """Whether one more request may come in."""
        return self.in_flight.requests < self.settings.max_requests

    def check_room(self) -> None:
        """Raise Overloaded unless there is room for the current request beside the others."""
        if self.in_flight.requests > self.settings.max_requests:
            others = self.in_flight.requests - 1
            check_requests(others, self.settings.max_requests, self.runtime.backlog)

    def check_alive(self) -> None:
        """Raise NotReady unless everything is loaded and every engine responds."""
        if trouble := self._trouble:
            raise not_ready(trouble, starting=self.starting)

    @property
    def _trouble(self) -> str:
        return self.runtime.trouble if self.deployments.revision else LOADING

    def family(self, name: str | None) -> Family:
        """Find a family by name; without a name, the default one or the only one.

        Raises NotReady or UnknownModel.
        """
        if not self.alive:
            self.check_alive()
        if name is None:
            name = self._default
        if family := self.families.get(name or ""):
            return family
        if name in self.deployments.unloaded:
            raise NotReady(f"{name} has been unloaded by an operator, who can load it again")
        if name in self.deployments.resting:
            raise NotReady(
                f"{name} is being loaded again; retry after the Retry-After delay",
                retry_after_s=RELOADING_RETRY_AFTER_S,
            )
        known = self._known()
        raise UnknownModel(
            f"there is no model {name!r}: name one of {known}" if name
            else f"the request names no model: name one of {known}",
            field="model",
            limit=known,
            value=name,
        )  # fmt: skip

    def _known(self) -> list[str]:
        resting, unloaded = self.deployments.resting, self.deployments.unloaded
        return sorted({*self.families, *resting, *unloaded})

    def family_with(self, name: str, variant: str) -> Family:
        """Find a family as `family` does, and check that it has this variant, unless it is "".

        Raises UnknownVariant.
        """
        family = self.family(name)
        family.select(Requirements(variant or AUTO))
        return family

    def steps(
        self, family: Family, flow: Flow, inputs: Sequence[Text | Row], *, windows: bool = False
    ) -> int:
        """Number of preferred options that a family skips for a request now, because of its wait.

        Only requests of the same caller that are about as large wait for each other; with
        `windows`, a long text is as large as all of its windows.
        """
        if not self.settings.brownout_ms or not family.most_steps:
            return 0
        if len(inputs) > 1 or windows:
            flow = self._sized(flow, family, inputs, windows=windows)
        whose, now_s = (flow.caller, flow.size), self._clock()
        brownout = self._brownouts.get(whose) or self._brownouts.begin(whose, now_s)
        before, wait_s = brownout.steps, self.runtime.queue_wait_s(flow)
        steps = brownout.update(now_s, wait_s, family.most_steps)
        if brownout.steps != before:
            log(
                "brownout",
                caller=flow.caller,
                size=_SIZES[flow.size],
                model=family.name,
                steps=brownout.steps,
                wait_ms=round(wait_s * 1e3, 1),
            )
        return steps

    def _sized(
        self, flow: Flow, family: Family, inputs: Sequence[Text | Row], *, windows: bool
    ) -> Flow:
        """Estimate a request's size, which is not tokenized yet."""
        texts, max_length = len(inputs), family.default_manifest.max_length
        if isinstance(inputs[0], str):
            tokens = sum(map(len, inputs)) // _CHARS_OF_A_TOKEN
        else:
            tokens = sum(
                each.length if isinstance(each, Row) else chars(each) // _CHARS_OF_A_TOKEN
                for each in inputs
            )
        if windows:
            texts = max(texts, tokens // max_length)
        batch_tokens = self.runtime.running[family.default_key].max_batch_tokens
        return flow.sized(texts, min(tokens, max_length * texts), batch_tokens)

    async def awake(self, name: str | None, deadline_s: float) -> Family:
        """Find a family as `family` does, and wait until the deadline for a resting one to load."""
        if name is None:
            name = self._default
        while name is not None and name in self.deployments.resting:
            self.runtime.wake(name)
            try:
                async with asyncio.timeout(deadline_s - self._clock()):
                    await self._changed.wait()
            except TimeoutError:
                break
        return self.family(name)

    def close(self) -> None:
        """Release the threads."""
        self.large_work.close()
        self.runtime.close()
