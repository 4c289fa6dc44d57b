"""The seam between texts and kernels: what an inference engine must do.

It does not know which library runs the graph, nor who is waiting for the answer.
"""

from collections.abc import Collection, Sequence
from typing import Protocol

import numpy as np
import numpy.typing as npt

from serving.bundle import Bundle
from serving.errors import BundleError, EngineFailed

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


class Signature:
    """A graph's inputs and outputs, as a classifier's: from token ids to logits."""

    def __init__(self, bundle: Bundle, inputs: Collection[str], outputs: Sequence[str]) -> None:
        """Raises BundleError unless `inputs` has `input_ids` and `attention_mask`."""
        if not {"input_ids", "attention_mask"} <= set(inputs):
            raise BundleError(
                f"{bundle.model_path} takes {sorted(inputs)}: "
                "export it with input_ids and attention_mask"
            )
        self.output = "logits" if "logits" in outputs else outputs[0]
        self._inputs = inputs
        self._pad_id = bundle.manifest.pad_token_id
        self._labels = len(bundle.manifest.labels)

    def feed(self, batch: Sequence[Sequence[int]]) -> dict[str, Ids]:
        """Each input's array, of shape (texts, longest)."""
        lengths = np.fromiter(map(len, batch), dtype=np.int64, count=len(batch))
        mask = np.arange(lengths.max()) < lengths[:, None]
        ids = np.full(mask.shape, self._pad_id, dtype=np.int64)
        ids[mask] = np.concatenate([np.asarray(row, dtype=np.int64) for row in batch])
        feed = {"input_ids": ids, "attention_mask": mask.astype(np.int64)}
        if "token_type_ids" in self._inputs:
            feed["token_type_ids"] = np.zeros_like(ids)
        return feed

    def checked(self, logits: Logits, batch: Sequence[Sequence[int]]) -> Logits:
        """The logits, if they are finite and of shape (texts, labels).

        Raises EngineFailed when they are not.
        """
        expected = (len(batch), self._labels)
        if logits.shape != expected:
            raise EngineFailed(f"the graph answered shape {logits.shape}, not {expected}")
        if not np.isfinite(logits).all():
            raise EngineFailed(
                f"the graph answered a non-finite logit for one of {expected[0]} texts"
            )
        return logits
