"""The seam between HTTP and the engines, which may be in another process.

It does not know how either is made.
"""

from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from serving.callers import Caller
from serving.deployment import Deployments
from serving.engines import EngineName
from serving.family import FamilyAnswer
from serving.inputs import Item
from serving.sharing import Answered
from serving.tokenizer import Tokenizer
from serving.waiting import Backlog, Terms, VariantKey


@dataclass(frozen=True, slots=True)
class Running:
    """How a variant is run: by which engine and why, and up to how many tokens a batch.

    `text_ms` is what a text of 32 tokens takes of one slot, in full batches: measured here.
    """

    engine: EngineName
    engine_reason: str
    max_batch_tokens: int
    text_ms: float


class Recorder(Protocol):
    """Who counts: see Metrics."""

    def record_request(self, endpoint: str, model: str, status: int, seconds: float) -> None:
        """One answered request, whatever its outcome."""

    def record_rejected(self, reason: str) -> None:
        """One valid request that was refused."""

    def record_answer(self, answer: FamilyAnswer) -> None:
        """One request's texts, answered."""

    def record_shadow(self, variant: VariantKey, texts: int, disagreements: int) -> None:
        """Texts that a shadow has answered, and how many of them otherwise."""

    def record_sample(self, family: str, texts: int, disagreements: int) -> None:
        """A cascade's texts that its reference has answered too, and how many otherwise."""


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
