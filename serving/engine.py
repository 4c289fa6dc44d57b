"""The seam between texts and kernels: what an inference engine must do.

It does not know which library runs the graph, nor who is waiting for the answer.
"""

from collections.abc import Sequence
from typing import Protocol

import numpy as np
import numpy.typing as npt

from serving.errors import EngineFailed

Ids = npt.NDArray[np.int64]
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


def padded(batch: Sequence[Sequence[int]], pad_id: int) -> tuple[Ids, Ids]:
    """Token ids padded to the longest and their mask, both of shape (texts, longest)."""
    lengths = np.fromiter(map(len, batch), dtype=np.int64, count=len(batch))
    mask = np.arange(lengths.max()) < lengths[:, None]
    ids = np.full(mask.shape, pad_id, dtype=np.int64)
    ids[mask] = np.concatenate([np.asarray(row, dtype=np.int64) for row in batch])
    return ids, mask.astype(np.int64)


def checked(logits: Logits, texts: int, labels: int) -> Logits:
    """The logits, if they are finite and of shape (texts, labels).

    Raises EngineFailed when they are not.
    """
    if logits.shape != (texts, labels):
        raise EngineFailed(f"the graph answered shape {logits.shape}, not {(texts, labels)}")
    if not np.isfinite(logits).all():
        raise EngineFailed(f"the graph answered a non-finite logit for one of {texts} texts")
    return logits
