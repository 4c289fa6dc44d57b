"""One running server: its families over a runtime, what it has room for, and its state.

It does not know about HTTP, nor in which process the engines run.
"""

import time
from concurrent.futures import ThreadPoolExecutor

from serving.batcher import Clock
from serving.bundle import Bundle
from serving.classifier import Classifier
from serving.errors import Draining, NotReady, Overloaded, UnknownModel
from serving.family import Family
from serving.runtime import Bundles, Runtime
from serving.settings import Settings


class Service:
    """`load` makes it ready, `draining` refuses new work."""

    def __init__(
        self,
        settings: Settings,
        bundles: Bundles,
        runtime: Runtime,
        clock: Clock = time.monotonic,
    ) -> None:
        self.settings = settings
        self.runtime = runtime
        self.draining = False
        self.requests = 0
        self.families: dict[str, Family] = {}
        self._bundles = bundles
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
        return bool(self.families) and self.runtime.alive

    async def load(self) -> None:
        """Load every bundle, then become ready. Raises StartError or EngineFailed."""
        await self.runtime.load()
        self.families = {
            name: Family(name, [self._classifier(name, bundle) for bundle in bundles])
            for name, bundles in self._bundles.items()
        }

    def _classifier(self, family: str, bundle: Bundle) -> Classifier:
        tokenizer = self.runtime.tokenizers.get((family, bundle.manifest.variant))
        return Classifier(bundle, tokenizer, self.runtime, self._tokenizer_threads, self._clock)

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
                retry_after_s=1 + int(self.runtime.backlog_s()),
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

    def close(self) -> None:
        """Release the threads."""
        self._tokenizer_threads.shutdown(wait=False, cancel_futures=True)
        self.runtime.close()
