"""All engines of one process behind one batcher, with the metrics of what they do."""

import asyncio
import time
from collections.abc import AsyncGenerator, Collection, Iterable, Mapping, Sequence
from functools import partial

from serving.access.api_keys import Caller
from serving.access.rate_limits import LimitUse
from serving.background import in_background, short_work
from serving.batching.admission import LOADING, not_ready
from serving.batching.batcher import Batcher
from serving.batching.coalescing import PendingRequest
from serving.batching.interface import InferenceResult
from serving.batching.queue import Backlog, Clock, Flow, Terms
from serving.batching.scheduler import Scheduler
from serving.bundles.bundle import Bundle, VariantKey, key
from serving.bundles.traffic import Deployments
from serving.errors import BundleError, failures
from serving.inference.engine import EngineName
from serving.inference.engine_selection import ENGINES, Chosen, MakeEngine
from serving.inference.inputs import Item
from serving.inference.tokenizer import Tokenizer
from serving.logs import log
from serving.observability.metrics import Metrics
from serving.runtime.feedback import LocalFeedback
from serving.runtime.gauges import applied_by_model, refused_by_model, unproven_by_model
from serving.runtime.integrity import Integrity
from serving.runtime.interface import Running
from serving.runtime.loading import Loaded, load, load_tuned, running
from serving.runtime.memory import resident_bytes, return_freed
from serving.runtime.retention import retain
from serving.runtime.trial import Trials
from serving.settings import Settings

# Bundles are often published one after another.
_MORE_TRIALS_S = 5.0


class LocalRuntime:
    """The engines of this process."""

    def __init__(
        self,
        settings: Settings,
        engines: Mapping[EngineName, MakeEngine] = ENGINES,
        clock: Clock = time.monotonic,
    ) -> None:
        """Start with nothing loaded. Bundles are tried first, unless `engines` are a test's."""
        self.recorder = Metrics()
        self.feedback = LocalFeedback(settings, self.recorder)
        self.integrity = Integrity()
        self.tokenizers: dict[VariantKey, Tokenizer] = {}
        self.running: dict[VariantKey, Running] = {}
        self._settings = settings
        self._limit_s = settings.load_timeout_ms / 1e3
        self._engines = engines
        self._trials = Trials(settings) if engines is ENGINES else None
        self._clock = clock
        self.limit_use = LimitUse(clock)
        self._scheduler: Scheduler | None = None
        self._batcher: Batcher | None = None
        self._bundles: dict[VariantKey, Bundle] = {}
        self._bytes: dict[VariantKey, int] = {}
        self.used_s: dict[str, float] = {}
        """When each family was last used, on the clock."""
        self.woken: set[str] = set()
        """Resting families that a request needs."""
        self.wake_up = asyncio.Event()
        self._unserved: set[VariantKey] = set()
        """Loaded for deployments that are not served yet."""
        self._served: list[Deployments] = []
        """The newest last; a follower may still use older ones."""
        self._followers: dict[object, int] = {}
        """The revision that each follower uses."""
        self.held_up = ""
        """Why it is not ready although its engines are."""
        self._changed = asyncio.Condition()
        self._one_at_a_time = asyncio.Lock()
        """Nothing is loaded while something else is loaded or unloaded."""

    @property
    def alive(self) -> bool:
        """See Runtime."""
        return bool(self._batcher and self._batcher.watchdog.alive)

    @property
    def trouble(self) -> str:
        """See Runtime."""
        return self._batcher.watchdog.trouble or self.held_up if self._batcher else LOADING

    @property
    def lost(self) -> bool:
        """Whether an engine will never respond again."""
        return bool(self._batcher and self._batcher.watchdog.lost)

    @property
    def served(self) -> bool:
        """Whether deployments have been published."""
        return bool(self._served)

    async def load(self, bundle: Bundle) -> None:
        """Verify, try, load and warm up one bundle, off the event loop, unless it is loaded.

        Raises BundleError, in the words of the library that fails, whatever that raises.
        """
        async with self._one_at_a_time:
            self._unserved.add(key(bundle))
            if key(bundle) not in self._bundles:
                await self._load_now(bundle)

    async def _load_now(self, bundle: Bundle) -> None:
        before_bytes = resident_bytes()
        with failures(BundleError, str(bundle.folder)):
            chosen = await self._chosen(bundle)
        grown_bytes = resident_bytes() - before_bytes
        self._bytes[key(bundle)] = max(grown_bytes, bundle.manifest.bytes)
        if not self._batcher:
            slots = chosen.engine.slots
            self._scheduler = Scheduler({}, slots)
            self._batcher = Batcher(
                {},
                self._scheduler,
                slots=slots,
                max_queue_texts=self._settings.max_queue_texts,
                engine_timeout_s=self._settings.engine_timeout_ms / 1e3,
                clock=self._clock,
                on_batch=self.recorder.record_batch,
                on_reuse=self.recorder.record_reused,
                cache_texts=self._settings.cache_texts,
            )
        self.recorder.add_variant(bundle.manifest, chosen.name)
        self._bundles[key(bundle)] = bundle
        self._batcher.add(key(bundle), chosen.engine, chosen.lane)

    async def _chosen(self, bundle: Bundle) -> Chosen:
        verifying = partial(self.integrity.verify, bundle)
        await in_background(verifying, f"verifying {bundle.folder}", self._limit_s)
        tuned = await self._tuned(bundle) if self._trials else None
        tokenizer, chosen = tuned or await self._measured(bundle)
        if tokenizer:
            self.tokenizers[key(bundle)] = tokenizer
        self.running[key(bundle)] = running(chosen, bundle)
        return chosen

    async def _tuned(self, bundle: Bundle) -> Loaded | None:
        tuned = partial(load_tuned, bundle, self._settings, beside_traffic=self.served)
        return await in_background(tuned, f"loading {bundle.folder}", self._limit_s)

    async def _measured(self, bundle: Bundle) -> Loaded:
        engines, beside_traffic = self._engines, self.served
        if self._trials:
            tried = partial(self._trials.engines, bundle, beside_traffic=beside_traffic)
            limit_s = self._limit_s * (len(ENGINES) + 1)
            engines = await in_background(tried, f"trying {bundle.folder}", limit_s)
        loading = partial(
            load, bundle, self._settings, engines,
            beside_traffic=beside_traffic, tried=bool(self._trials),
        )  # fmt: skip
        return await in_background(loading, f"loading {bundle.folder}", self._limit_s)

    def settle(self, found: Iterable[Bundle]) -> None:
        """Forget bundles that are neither found nor loaded; release what tried them a bit later."""
        kept = [*found, *self._bundles.values()]
        known = set(map(key, kept))
        # Two folders may hold the same version.
        folders = {bundle.folder for bundle in kept}
        retain(self._bytes, known)
        retain(self.used_s, {family for family, _, _ in known})
        self.integrity.forget(folders)
        if self._trials:
            self._trials.forget(folders)
            asyncio.get_running_loop().call_later(_MORE_TRIALS_S, self._trials.rest)

    def bytes_of(self, bundle: Bundle) -> int:
        """Estimate a bundle's memory: as measured when last loaded, or else its files' bytes."""
        return self._bytes.get(key(bundle), bundle.manifest.bytes)

    def loaded(self, bundle: Bundle) -> bool:
        """Return whether a bundle is loaded now."""
        return key(bundle) in self._bundles

    def wake(self, family: str) -> None:
        """See Runtime."""
        self.used_s[family] = self._clock()
        self.woken.add(family)
        self.wake_up.set()

    async def serve(self, deployments: Deployments) -> None:
        """Publish deployments, whose bundles are all loaded, to the followers."""
        async with self._changed:
            self._served.append(deployments)
            self._unserved.clear()
            self._changed.notify_all()
        self.recorder.set_cascades(deployments.cascades)
        applied = applied_by_model(deployments)
        self.recorder.set_decisions(applied)
        self.recorder.set_unproven(unproven_by_model(deployments, applied, self.running))

    def count_refused(self, deployments: Deployments, harmless: Collection[str]) -> None:
        """Publish how much of each family is refused; see gauges.py."""
        registries = self._settings.registry
        self.recorder.set_refused(refused_by_model(deployments, harmless, registries))

    async def follow(self) -> AsyncGenerator[Deployments]:
        """See Runtime."""
        me = object()
        self._followers[me] = -1

        def newer() -> bool:
            return bool(self._served) and self._served[-1].revision > self._followers[me]

        try:
            while True:
                async with self._changed:
                    await self._changed.wait_for(newer)
                newest = self._served[-1]
                yield newest
                self._followers[me] = newest.revision
                await self._unload()
        finally:
            del self._followers[me]

    async def _unload(self) -> None:
        """Release the bundles that no follower uses any more."""
        async with self._one_at_a_time:
            oldest = min(self._followers.values())
            self._served = [each for each in self._served if each.revision >= oldest]
            used = self._unserved.union(*(each.bundles() for each in self._served))
            unused = self._bundles.keys() - used
            for each in unused:
                await self._unload_now(each)
            if unused:
                await short_work(return_freed)

    async def _unload_now(self, variant: VariantKey) -> None:
        if self._batcher:
            await self._batcher.remove(variant)
        self.tokenizers.pop(variant, None)
        self.running.pop(variant, None)
        self.recorder.remove_version(self._bundles.pop(variant).manifest)
        log("unloaded", model=variant[0], variant=variant[1], version=variant[2])

    def submit(
        self, variant: VariantKey, items: Sequence[Item], terms: Terms
    ) -> asyncio.Future[list[InferenceResult]]:
        """See Submits. Raises NotReady before `load` has returned."""
        return self.use(variant).submit(variant, items, terms)

    def use(self, variant: VariantKey) -> Batcher:
        """Return the batcher, for requests of a variant. Raises NotReady before `load` returned."""
        self.used_s[variant[0]] = self._clock()
        if not self._batcher:
            raise not_ready(LOADING, starting=True)
        return self._batcher

    def withdraw(self, request: PendingRequest) -> None:
        """See Batcher.withdraw."""
        if self._batcher:
            self._batcher.withdraw(request)

    def enter(self, caller: Caller) -> None:
        """See LimitUse."""
        self.limit_use.enter(caller.name, caller.limits)

    def charge(self, caller: Caller, texts: int) -> None:
        """See LimitUse."""
        self.limit_use.charge(caller.name, texts)

    def leave(self, caller: Caller) -> None:
        """See LimitUse."""
        self.limit_use.leave(caller.name)

    def queue_wait_s(self, flow: Flow) -> float:
        """See Runtime."""
        return self._scheduler.queue_wait_s(flow) if self._scheduler else 0.0

    def backlog(self) -> Backlog:
        """See Runtime."""
        return self._scheduler.backlog() if self._scheduler else Backlog()

    async def page(self, *, ready: bool) -> tuple[bytes, str]:
        """See Runtime."""
        self.feedback.count()
        queued = (
            (each, self._scheduler.queued_texts(each) if self._scheduler else 0)
            for each in self._bundles
        )
        in_flight = self._batcher.requests_in_flight if self._batcher else 0
        return self.recorder.page(queued, in_flight, ready=ready)

    def close(self) -> None:
        """See Runtime."""
        if self._trials:
            self._trials.end()
        if self._batcher:
            self._batcher.close()
        self.feedback.close()
