"""The seam between texts and kernels: what an inference engine must do.

It does not know which library runs the graph, nor who is waiting for the answer.
"""

from collections.abc import Sequence
from typing import Protocol

import numpy as np
import numpy.typing as npt

Logits = npt.NDArray[np.float32]


class Engine(Protocol):
    """Runs batches of token ids through one bundle's graph."""

    @property
    def slots(self) -> int:
        """How many `run` calls at a time make full use of the device."""

    def run(self, batch: Sequence[Sequence[int]]) -> Logits:
        """Logits of shape (len(batch), number of labels), in the order of `batch`.

        Takes any number (>= 1) of non-empty lists of token ids; pads them to the longest.
        May be called from `slots` threads at a time.
        Raises EngineFailed when the runtime fails or a logit is not finite.
        """
