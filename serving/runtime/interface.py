"""The seam between the service and its engines, which may run in another process."""

from collections.abc import AsyncGenerator, Awaitable, Mapping
from dataclasses import dataclass
from typing import Protocol

from serving.access.api_keys import Caller
from serving.batching.interface import Submits
from serving.batching.queue import Backlog, Flow
from serving.bundles.bundle import VariantKey
from serving.bundles.traffic import Deployments
from serving.feedback.recorder import FeedbackStore
from serving.inference.engine import EngineName
from serving.inference.tokenizer import Tokenizer
from serving.observability.recorder import Recorder


@dataclass(frozen=True, slots=True)
class Running:
    """How a variant is run: its engine, why that one, and the most tokens in a batch.

    `runs_as` names the engine and what it computes in. `text_ms` is the slot time of a text of
    32 tokens in full batches, measured on this machine.
    """

    engine: EngineName
    engine_reason: str
    runs_as: str
    max_batch_tokens: int
    text_ms: float


class Runtime(Submits, Protocol):
    """The engines that a Service needs: in this process (local.py) or in another (remote.py)."""

    @property
    def recorder(self) -> Recorder:
        """Records what happened."""

    @property
    def feedback(self) -> FeedbackStore:
        """Keeps what is noted of answers, and takes feedback on them."""

    @property
    def tokenizers(self) -> Mapping[VariantKey, Tokenizer]:
        """The tokenizer of each loaded variant that reads text."""

    @property
    def running(self) -> Mapping[VariantKey, Running]:
        """How each loaded variant is run."""

    def follow(self) -> AsyncGenerator[Deployments]:
        """Yield what is loaded, each time that it changes; the newest only.

        Asking for the next releases all before it: their bundles may be unloaded.
        Raises EngineFailed when the engines have gone, or the machine stays too short to follow.
        """

    @property
    def alive(self) -> bool:
        """Whether everything is loaded and every engine responds."""

    @property
    def trouble(self) -> str:
        """Why it is not alive; "" if it is."""

    def wake(self, family: str) -> None:
        """Reload a family that was unloaded to free memory, soon."""

    def enter(self, caller: Caller) -> Awaitable[None] | None:
        """See LimitUse. Return what to wait for where another process decides."""

    def charge(self, caller: Caller, texts: int) -> None:
        """See LimitUse."""

    def leave(self, caller: Caller) -> None:
        """See LimitUse."""

    def queue_wait_s(self, flow: Flow) -> float:
        """Predict how much longer than until the first slot is free a flow's next text waits."""

    def backlog(self) -> Backlog:
        """Outstanding work."""

    async def page(self, *, ready: bool) -> tuple[bytes, str]:
        """Return the metrics page and its content type; `ready` comes from the service."""

    def close(self) -> None:
        """Release the threads."""
