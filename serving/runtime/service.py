"""One running server: its families over a runtime, what it has room for, and its state.

It does not know about HTTP, nor in which process the engines run.
"""

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

from serving.access.api_keys import Callers
from serving.batching.queue import Clock, Flow
from serving.bundles.bundle import Bundle, key
from serving.bundles.traffic import Deployment, Deployments, Policy
from serving.errors import Draining, NotReady, Overloaded, UnknownModel
from serving.logs import log
from serving.runtime.interface import Runtime
from serving.settings import Settings
from serving.variants.brownout import Brownout
from serving.variants.classifier import Classifier
from serving.variants.family import Family, Served
from serving.variants.selection import ANY, AUTO, Wish

_IDLE_EVERY_S = 0.05


class Service:
    """`follow` makes it ready, `draining` refuses new work. Raises StartError."""

    def __init__(
        self,
        settings: Settings,
        runtime: Runtime,
        clock: Clock = time.monotonic,
    ) -> None:
        self.settings = settings
        self.runtime = runtime
        self.callers = Callers(settings)
        self.draining = False
        self.requests = 0
        self.families: dict[str, Family] = {}
        self.deployments = Deployments()
        self._brownouts: dict[str, Brownout] = {}
        """By caller."""
        self._changed = asyncio.Event()
        self._clock = clock
        self._tokenizer_threads = ThreadPoolExecutor(1, "tokenizer")

    def check_ready(self) -> None:
        """Raises NotReady or Draining unless new requests are welcome."""
        if self.draining:
            raise Draining("the server is shutting down: send to another replica")
        if not self.alive:
            raise NotReady(
                "the models are being loaded or an engine has died: see the log",
                retry_after_s=1,
            )

    @property
    def ready(self) -> bool:
        """Whether new requests are welcome."""
        return self.alive and not self.draining

    @property
    def alive(self) -> bool:
        """Whether everything is loaded and every engine comes back."""
        return self.deployments.revision > 0 and self.runtime.alive

    async def follow(self, on_loaded: Callable[[], None]) -> None:
        """Serve what the runtime has loaded, each time that it changes; `on_loaded` the first time.

        Raises EngineFailed when the engines have gone.
        """
        async for deployments in self.runtime.follow():
            before = list(self.families.values())
            self.families = {
                name: self._family(name, variants, deployments)
                for name, variants in deployments.families.items()
            }
            first = not self.deployments.revision
            self.deployments = deployments
            self._changed.set()
            self._changed = asyncio.Event()
            if first:
                on_loaded()
            await self._until_idle(before)

    def _family(
        self, name: str, variants: Mapping[str, Deployment], deployments: Deployments
    ) -> Family:
        recorder = self.runtime.recorder
        served = {
            variant: Served(
                live=self._classifier(deployment.live),
                text_ms=self.runtime.running[key(deployment.live)].text_ms,
                canary=self._classifier(deployment.canary) if deployment.canary else None,
                weight=deployment.weight,
                shadow=self._classifier(deployment.shadow) if deployment.shadow else None,
                share=deployment.share,
            )
            for variant, deployment in variants.items()
        }
        return Family(
            name,
            served,
            cascade=deployments.cascades.get(name),
            policy=deployments.policies.get(name, Policy()),
            on_shadow=recorder.record_shadow,
            on_sample=recorder.record_sample,
        )

    def _classifier(self, bundle: Bundle) -> Classifier:
        tokenizer = self.runtime.tokenizers.get(key(bundle))
        return Classifier(bundle, tokenizer, self.runtime, self._tokenizer_threads, self._clock)

    async def _until_idle(self, families: Sequence[Family]) -> None:
        """Until nothing that they were asked is open; no request takes longer than the bound."""
        settings = self.settings
        most_s = (settings.max_deadline_ms + settings.engine_timeout_ms) / 1e3
        for _ in range(round(most_s / _IDLE_EVERY_S)):
            if all(family.idle for family in families):
                return
            await asyncio.sleep(_IDLE_EVERY_S)

    @property
    def has_room(self) -> bool:
        """Whether one more request may come in."""
        return self.requests < self.settings.max_requests

    def check_room(self, requests: int) -> None:
        """Raises Overloaded unless there is room for one more than so many requests."""
        if requests >= self.settings.max_requests:
            raise Overloaded(
                f"{requests} requests are being answered: see Retry-After",
                limit=self.settings.max_requests,
                value=requests,
                retry_after_s=1 + int(self.runtime.backlog().total_s),
            )

    def check_alive(self) -> None:
        """Raises NotReady unless everything is loaded."""
        if not self.alive:
            raise NotReady("the models are not loaded: wait for /health/ready", retry_after_s=1)

    def family(self, name: str | None) -> Family:
        """The family of this name, or without a name the default or the only one.

        Raises NotReady or UnknownModel.
        """
        self.check_alive()
        name = self._name(name)
        resting, unloaded = self.deployments.resting, self.deployments.unloaded
        known = self._known()
        if name in unloaded:
            raise NotReady(f"{name} has been unloaded by an operator: ask for it to be loaded")
        if name in resting:
            raise NotReady(f"{name} is being loaded again: see Retry-After", retry_after_s=2)
        if name not in self.families:
            raise UnknownModel(
                f"there is no model {name!r}: name one of {known}",
                field="model",
                limit=known,
                value=name,
            )
        return self.families[name]

    def _known(self) -> list[str]:
        resting, unloaded = self.deployments.resting, self.deployments.unloaded
        return sorted({*self.families, *resting, *unloaded})

    def _name(self, given: str | None) -> str | None:
        if given is not None:
            return given
        known = self._known()
        return self.settings.default_model or (known[0] if len(known) == 1 else None)

    def family_with(self, name: str, variant: str) -> Family:
        """As `family`, and that it has this variant, if any is named. Raises UnknownVariant."""
        family = self.family(name)
        family.ladder(Wish(variant or AUTO))
        return family

    def steps(self, family: Family, flow: Flow) -> int:
        """How far down its ladder a family answers a flow now, because of what waits before it."""
        limit_s = self.settings.brownout_ms / 1e3
        if not limit_s:
            return 0
        brownout = self._brownouts.setdefault(flow.caller, Brownout(limit_s))
        before, wait_s = brownout.steps, self.runtime.backlog().wait_s(flow)
        steps = brownout.look(self._clock(), wait_s, len(family.ladder(ANY)) - 1)
        if brownout.steps != before:
            log(
                "brownout",
                caller=flow.caller,
                model=family.name,
                steps=brownout.steps,
                wait_ms=round(wait_s * 1e3, 1),
            )
        return steps

    async def awake(self, name: str | None, deadline_s: float) -> Family:
        """As `family`, but one that rests is loaded, until the deadline on the service's clock."""
        name = self._name(name)
        while name is not None and name in self.deployments.resting:
            self.runtime.wake(name)
            try:
                await asyncio.wait_for(self._changed.wait(), deadline_s - self._clock())
            except TimeoutError:
                break
        return self.family(name)

    def close(self) -> None:
        """Release the threads."""
        self._tokenizer_threads.shutdown(wait=False, cancel_futures=True)
        self.runtime.close()
