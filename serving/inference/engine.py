"""The interface of an inference engine: a batch of inputs to logits."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol, Self

import numpy as np
import numpy.typing as npt

from serving.errors import ENDING, EngineFailed, own_words
from serving.inference.inputs import Item

Logits = npt.NDArray[np.float32]
Device = Literal["cpu", "cuda"]
EngineName = Literal["onnxruntime", "openvino"]


@dataclass(frozen=True, slots=True)
class Resources:
    """What an engine may use: `threads` CPU cores, shared by `slots` concurrent runs.

    With 0 slots each run has one core. On CUDA it may use `gpu_memory_bytes`; 0 sets no limit.
    """

    device: Device
    threads: int
    slots: int = 0
    gpu_memory_bytes: int = 0


class Engine(Protocol):
    """Runs batches through the graph of one bundle."""

    @property
    def slots(self) -> int:
        """The number of concurrent `run` calls that saturate the device."""

    @property
    def packed(self) -> bool:
        """Whether several texts share a row (see packing.py)."""

    @property
    def preempts(self) -> bool:
        """Whether a run beside `slots` others takes cores from them instead of waiting for one."""

    def unpacked(self) -> Self:
        """Return this engine with one text per row; both share the graph and may run at once."""

    def example(self, length: int) -> Item:
        """Return an example of `length` tokens; a graph that reads tensors takes only length 1."""

    def run(self, batch: Sequence[Item]) -> Logits:
        """Logits of shape (len(batch), number of labels), in the order of `batch`.

        Takes one or more inputs, none of them empty. As many threads as `slots` may call it
        concurrently, and twice as many if it `preempts`.
        Raises EngineFailed if the runtime fails or a logit is not finite.
        """

    def run_checked(self, batch: Sequence[Item]) -> Logits:
        """Run a batch as `run` does; raise EngineFailed if an id is beyond the graph's embedding.

        `run` may answer such an id with anything. Slow: for probes.
        """


def runs_as(name: str, engine: Engine, precision: str) -> str:
    """Name what decides exact answers: the engine, and what it computes in.

    That is the number format that the engine or its device prefers, or else that of the weights.
    """
    return f"{name}, {getattr(engine, 'computing', '') or precision}"


def answers_of(engine: Engine, batch: Sequence[Item]) -> list[list[float] | EngineFailed]:
    """Return the logits of each input, in order; after a failure each input runs alone."""
    try:
        logits = engine.run(batch)
        if len(logits) != len(batch):
            raise EngineFailed(f"the engine answered {len(logits)} of {len(batch)} texts")
        rows: list[list[float] | EngineFailed] = logits.tolist()
    except ENDING:
        raise
    except BaseException as error:  # noqa: BLE001  whatever an engine raises fails one text
        if len(batch) == 1:
            return [error if isinstance(error, EngineFailed) else EngineFailed(own_words(error))]
        return [answers_of(engine, [each])[0] for each in batch]
    return rows
