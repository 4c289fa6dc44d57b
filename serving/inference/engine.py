"""The seam between inputs and kernels: what an inference engine must do.

It does not know which library runs the graph, nor who is waiting for the answer.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
import numpy.typing as npt

from serving.errors import EngineFailed
from serving.inference.inputs import Item

Logits = npt.NDArray[np.float32]
Device = Literal["cpu", "cuda"]


@dataclass(frozen=True, slots=True)
class Resources:
    """What an engine may use: `threads` CPU cores, shared by `slots` runs at a time (0: one each).

    On CUDA it may use `gpu_memory_bytes` (0: all).
    """

    device: Device
    threads: int
    slots: int = 0
    gpu_memory_bytes: int = 0


class Engine(Protocol):
    """Runs batches through one bundle's graph."""

    @property
    def slots(self) -> int:
        """How many `run` calls at a time make full use of the device."""

    @property
    def packed(self) -> bool:
        """Whether several texts share a row (see layout.py)."""

    def example(self, length: int) -> Item:
        """Some input of `length` tokens; a graph that reads no text knows only length 1."""

    def run(self, batch: Sequence[Item]) -> Logits:
        """Logits of shape (len(batch), number of labels), in the order of `batch`.

        Takes any number (>= 1) of what the bundle reads, none of them empty.
        May be called from `slots` threads at a time.
        Raises EngineFailed when the runtime fails or a logit is not finite.
        """


def answers_of(engine: Engine, batch: Sequence[Item]) -> list[list[float] | EngineFailed]:
    """The logits of each, in order; what fails is run again one by one: only culprits have none."""
    try:
        logits = engine.run(batch)
        if len(logits) != len(batch):
            raise EngineFailed(f"the engine answered {len(logits)} of {len(batch)} texts")
    except EngineFailed as error:
        return [error] if len(batch) == 1 else [answers_of(engine, [each])[0] for each in batch]
    rows: list[list[float] | EngineFailed] = logits.tolist()
    return rows
