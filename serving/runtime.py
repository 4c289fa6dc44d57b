"""All engines of one process behind one batcher, with the metrics of what they do.

It does not know about HTTP, nor which variant should answer.
"""

import asyncio
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from serving.batcher import Answered, Batcher, Clock
from serving.bundle import Bundle, verify
from serving.classifier import Classified
from serving.cores import usable_cores
from serving.engine import Resources
from serving.engines import ENGINES, Chosen, EngineName, MakeEngine, choose
from serving.errors import NotReady
from serving.inputs import Item
from serving.logs import log
from serving.metrics import Metrics
from serving.scheduler import Scheduler, VariantKey
from serving.settings import Settings
from serving.tokenizer import Tokenizer, open_tokenizer

Bundles = Mapping[str, Sequence[Bundle]]


@dataclass(frozen=True, slots=True)
class Running:
    """How a variant is run: by which engine and why, and up to how many tokens a batch."""

    engine: EngineName
    engine_reason: str
    max_batch_tokens: int


class Recorder(Protocol):
    """Who counts: see Metrics."""

    def record_request(self, endpoint: str, model: str, status: int, seconds: float) -> None:
        """One answered request, whatever its outcome."""

    def record_rejected(self, reason: str) -> None:
        """One valid request that was refused."""

    def record_classified(self, family: str, classified: Classified, degraded: bool) -> None:
        """One request's texts, answered."""


class Runtime(Protocol):
    """What a Service needs of its engines, in this process or in another (remote.py)."""

    @property
    def recorder(self) -> Recorder:
        """Who counts."""

    @property
    def tokenizers(self) -> Mapping[VariantKey, Tokenizer]:
        """Of each variant that reads text, once loaded."""

    @property
    def running(self) -> Mapping[VariantKey, Running]:
        """How each variant is run, once loaded."""

    @property
    def alive(self) -> bool:
        """Whether everything is loaded and every engine comes back."""

    async def load(self) -> None:
        """Return when everything is loaded. Raises StartError or EngineFailed."""

    async def submit(
        self, variant: VariantKey, items: Sequence[Item], deadline_s: float
    ) -> list[Answered]:
        """See Batcher.submit."""

    def backlog_s(self) -> float:
        """Predicted seconds until a slot is free for a text that arrives now."""

    async def page(self, *, ready: bool) -> tuple[bytes, str]:
        """The metrics page and its content type; only HTTP's side knows whether it is `ready`."""

    def close(self) -> None:
        """Release the threads."""


class LocalRuntime:
    """The engines of this process."""

    def __init__(
        self,
        settings: Settings,
        bundles: Bundles,
        engines: Mapping[EngineName, MakeEngine] = ENGINES,
        clock: Clock = time.monotonic,
    ) -> None:
        """Nothing is loaded yet."""
        self.recorder = Metrics()
        self.tokenizers: dict[VariantKey, Tokenizer] = {}
        self.running: dict[VariantKey, Running] = {}
        self._settings = settings
        self._bundles = bundles
        self._engines = engines
        self._clock = clock
        self._scheduler: Scheduler | None = None
        self._batcher: Batcher | None = None

    @property
    def alive(self) -> bool:
        """See Runtime."""
        return bool(self._batcher and self._batcher.alive)

    async def load(self) -> None:
        """Verify, load and warm up every bundle, off the event loop.

        Raises StartError when a bundle is broken or the device is missing, EngineFailed when
        an engine does not answer.
        """
        chosen = {key: await asyncio.to_thread(self._load, bundle) for key, bundle in self._each()}
        engines = {key: each.engine for key, each in chosen.items()}
        slots = min(engine.slots for engine in engines.values())
        self._scheduler = Scheduler({key: each.lane for key, each in chosen.items()}, slots)
        self._batcher = Batcher(
            engines,
            self._scheduler,
            slots=slots,
            max_queue_texts=self._settings.max_queue_texts,
            engine_timeout_s=self._settings.engine_timeout_ms / 1e3,
            clock=self._clock,
            on_batch=self.recorder.record_batch,
        )

    def _load(self, bundle: Bundle) -> Chosen:
        started_s = self._clock()
        verify(bundle)
        manifest, settings = bundle.manifest, self._settings
        key = (manifest.family, manifest.variant)
        tokenizer = open_tokenizer(bundle)
        if tokenizer:
            self.tokenizers[key] = tokenizer
        resources = Resources(
            settings.device,
            settings.threads or usable_cores(),
            gpu_memory_bytes=settings.gpu_memory_bytes,
        )
        chosen = choose(
            bundle,
            tokenizer,
            settings.engine,
            resources,
            max_batch_tokens=settings.max_batch_tokens,
            engines=self._engines,
        )
        self.running[key] = Running(chosen.name, chosen.reason, chosen.lane.max_batch_tokens)
        self.recorder.add_variant(manifest, chosen.name)
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
            seconds=round(self._clock() - started_s, 3),
        )
        return chosen

    def _each(self) -> Iterator[tuple[VariantKey, Bundle]]:
        for name, bundles in self._bundles.items():
            for bundle in bundles:
                yield (name, bundle.manifest.variant), bundle

    async def submit(
        self, variant: VariantKey, items: Sequence[Item], deadline_s: float
    ) -> list[Answered]:
        """See Batcher.submit. Raises NotReady before `load` has returned."""
        if not self._batcher:
            raise NotReady("the models are being loaded", retry_after_s=1)
        return await self._batcher.submit(variant, items, deadline_s)

    def backlog_s(self) -> float:
        """See Runtime."""
        return self._scheduler.backlog_s() if self._scheduler else 0.0

    async def page(self, *, ready: bool) -> tuple[bytes, str]:
        """See Runtime."""
        waiting = (
            (key, self._scheduler.waiting_texts(key) if self._scheduler else 0)
            for key in self.running
        )
        in_flight = self._batcher.requests_in_flight if self._batcher else 0
        return self.recorder.page(waiting, in_flight, ready=ready)

    def close(self) -> None:
        """See Runtime."""
        if self._batcher:
            self._batcher.close()
