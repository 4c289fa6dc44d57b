"""The parts of one running server: loads the registry's families and tells its state.

It does not know about HTTP.
"""

import asyncio
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor

from serving.batcher import Batcher, Clock
from serving.bundle import Bundle, verify
from serving.classifier import Classifier
from serving.cores import usable_cores
from serving.engines import ENGINES, Chosen, EngineName, MakeEngine, Needs, choose
from serving.errors import Draining, NotReady, Overloaded, UnknownModel
from serving.family import Family
from serving.logs import log
from serving.metrics import Metrics
from serving.registry import read_registry
from serving.scheduler import Scheduler, VariantKey
from serving.settings import Settings
from serving.tokenizer import Tokenizer


class Service:
    """Families over one batcher. `load` makes it ready, `drain` refuses new work."""

    def __init__(
        self,
        settings: Settings,
        metrics: Metrics,
        engines: Mapping[EngineName, MakeEngine] = ENGINES,
        clock: Clock = time.monotonic,
    ) -> None:
        """Read the registry's manifests; nothing is loaded yet. Raises BundleError."""
        self.settings = settings
        self.metrics = metrics
        self.clock = clock
        self.draining = False
        self.requests = 0
        self.families: dict[str, Family] = {}
        self.chosen: dict[VariantKey, Chosen] = {}
        self._bundles = read_registry(settings.registry)
        self._engines = engines
        self._tokenizers: dict[VariantKey, Tokenizer] = {}
        self._tokenizer_threads = ThreadPoolExecutor(1, "tokenizer")
        self._scheduler: Scheduler | None = None
        self._batcher: Batcher | None = None

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
    def alive(self) -> bool:
        """Whether everything is loaded and every engine comes back."""
        return bool(self.families and self._batcher and self._batcher.alive)

    async def load(self) -> None:
        """Verify, load and warm up every bundle, off the event loop, then become ready.

        Raises StartError when a bundle is broken or the device is missing, EngineFailed when
        an engine does not answer.
        """
        for key, bundle in self._each():
            await asyncio.to_thread(self._load, key, bundle)
        engines = {key: chosen.engine for key, chosen in self.chosen.items()}
        slots = min(engine.slots for engine in engines.values())
        lanes = {key: chosen.lane for key, chosen in self.chosen.items()}
        self._scheduler = Scheduler(lanes, slots)
        self._batcher = Batcher(
            engines,
            self._scheduler,
            slots=slots,
            max_queue_texts=self.settings.max_queue_texts,
            engine_timeout_s=self.settings.engine_timeout_ms / 1e3,
            clock=self.clock,
            on_batch=self.metrics.record_batch,
        )
        self.families = {
            name: Family(
                name, [self._classifier(name, bundle, self._batcher) for bundle in bundles]
            )
            for name, bundles in self._bundles.items()
        }

    def _load(self, key: VariantKey, bundle: Bundle) -> None:
        started_s = self.clock()
        verify(bundle)
        manifest = bundle.manifest
        tokenizer = Tokenizer(bundle.tokenizer_path, manifest.max_length)
        self._tokenizers[key] = tokenizer
        settings = self.settings
        threads = settings.threads or usable_cores()
        needs = Needs(settings.device, threads, settings.max_batch_tokens)
        chosen = choose(bundle, tokenizer, settings.engine, needs, self._engines)
        self.chosen[key] = chosen
        self.metrics.add_variant(manifest, chosen.name)
        log(
            "loaded",
            model=manifest.family,
            variant=manifest.variant,
            version=manifest.version,
            device=settings.device,
            engine=chosen.name,
            engine_reason=chosen.reason,
            slots=chosen.engine.slots,
            max_batch_tokens=chosen.lane.max_batch_tokens,
            seconds=round(self.clock() - started_s, 3),
        )

    def _classifier(self, family: str, bundle: Bundle, batcher: Batcher) -> Classifier:
        tokenizer = self._tokenizers[family, bundle.manifest.variant]
        return Classifier(bundle, tokenizer, batcher, self._tokenizer_threads, self.clock)

    def _each(self) -> Iterator[tuple[VariantKey, Bundle]]:
        for name, bundles in self._bundles.items():
            for bundle in bundles:
                yield (name, bundle.manifest.variant), bundle

    def check_room(self) -> None:
        """Raises Overloaded when too many requests are in the server at this moment."""
        most = self.settings.max_requests
        if self.requests > most:
            backlog_s = self._scheduler.backlog_s() if self._scheduler else 0.0
            raise Overloaded(
                f"{self.requests} requests are being answered: see Retry-After",
                limit=most,
                value=self.requests,
                retry_after_s=1 + int(backlog_s),
            )

    def family(self, name: str | None) -> Family:
        """The family of this name, or the only one there is when no name is given.

        Raises NotReady or UnknownModel.
        """
        if not self.alive:
            raise NotReady("the models are not loaded: wait for /health/ready", retry_after_s=1)
        known = sorted(self.families)
        if name is None and len(known) == 1:
            return self.families[known[0]]
        if name not in self.families:
            raise UnknownModel(
                f"there is no model {name!r}: name one of {known}",
                field="model",
                limit=known,
                value=name,
            )
        return self.families[name]

    def waiting(self) -> Mapping[VariantKey, int]:
        """Texts in each variant's queue right now."""
        if not self._scheduler:
            return {}
        return {key: self._scheduler.waiting_texts(key) for key in self.chosen}

    def close(self) -> None:
        """Release the threads."""
        self._tokenizer_threads.shutdown(wait=False, cancel_futures=True)
        if self._batcher:
            self._batcher.close()
