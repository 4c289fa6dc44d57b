"""The seam between HTTP and the engines, which may be in another process.

It does not know how either is made.
"""

from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from serving.access.api_keys import Caller
from serving.batching.coalescing import Answered
from serving.batching.queue import Backlog, Terms
from serving.bundles.bundle import VariantKey
from serving.bundles.traffic import Deployments
from serving.inference.engine_selection import EngineName
from serving.inference.inputs import Item
from serving.inference.tokenizer import Tokenizer
from serving.observability.recorder import Recorder


@dataclass(frozen=True, slots=True)
class Running:
    """How a variant is run: by which engine and why, and up to how many tokens a batch.

    `text_ms` is what a text of 32 tokens takes of one slot, in full batches: measured here.
    """

    engine: EngineName
    engine_reason: str
    max_batch_tokens: int
    text_ms: float


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

    def follow(self) -> AsyncGenerator[Deployments]:
        """What is loaded, each time that it changes, the newest only.

        Who asks for the next has finished with all before it: they may be unloaded.
        Raises EngineFailed when the engines have gone.
        """

    @property
    def alive(self) -> bool:
        """Whether everything is loaded and every engine comes back."""

    async def submit(
        self,
        variant: VariantKey,
        items: Sequence[Item],
        terms: Terms,
    ) -> list[Answered]:
        """See Batcher.submit."""

    def wake(self, family: str) -> None:
        """Load a family that rests, soon."""

    async def enter(self, caller: Caller) -> None:
        """See LimitUse."""

    def charge(self, caller: Caller, texts: int) -> None:
        """See LimitUse."""

    def leave(self, caller: Caller) -> None:
        """See LimitUse."""

    def backlog(self) -> Backlog:
        """What there is to do now."""

    async def page(self, *, ready: bool) -> tuple[bytes, str]:
        """The metrics page and its content type; only HTTP's side knows whether it is `ready`."""

    def close(self) -> None:
        """Release the threads."""
