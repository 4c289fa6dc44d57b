"""The seam between texts and kernels: what an inference engine must do.

It does not know which library runs the graph, nor who is waiting for the answer.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Literal, Protocol

import numpy as np
import numpy.typing as npt

from serving.bundle import Bundle
from serving.errors import BundleError, EngineFailed
from serving.layout import lay_out

Ids = npt.NDArray[np.int64]
Logits = npt.NDArray[np.float32]
Device = Literal["cpu", "cuda"]

_PADDED = {"input_ids", "attention_mask"}
_PACKED = {"input_ids", "text_ids", "position_ids", "first_tokens"}


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
    """Runs batches of token ids through one bundle's graph."""

    @property
    def slots(self) -> int:
        """How many `run` calls at a time make full use of the device."""

    @property
    def packed(self) -> bool:
        """Whether several texts share a row (see layout.py)."""

    def run(self, batch: Sequence[Sequence[int]]) -> Logits:
        """Logits of shape (len(batch), number of labels), in the order of `batch`.

        Takes any number (>= 1) of non-empty lists of token ids.
        May be called from `slots` threads at a time.
        Raises EngineFailed when the runtime fails or a logit is not finite.
        """


class Signature:
    """A graph's inputs and outputs, as a classifier's: from token ids to logits.

    A padded graph takes `input_ids` and `attention_mask`, one text a row. A packed one takes
    several texts a row: `input_ids`, `text_ids` (a text's number from 1, 0 for padding) and
    `position_ids` of shape (rows, tokens), and `first_tokens` of shape (texts, 2), the row and
    column where each text starts. All are int64.
    """

    def __init__(self, bundle: Bundle, inputs: Collection[str], outputs: Sequence[str]) -> None:
        """Raises BundleError when `inputs` are of neither kind."""
        self.packed = set(inputs) >= _PACKED
        if not self.packed and not set(inputs) >= _PADDED:
            raise BundleError(
                f"{bundle.model_path} takes {sorted(inputs)}: "
                "export it with input_ids and attention_mask"
            )
        self.output = "logits" if "logits" in outputs else outputs[0]
        self._inputs = inputs
        self._pad_id = bundle.manifest.pad_token_id
        self._labels = len(bundle.manifest.labels)

    def feed(self, batch: Sequence[Sequence[int]]) -> dict[str, Ids]:
        """The graph's inputs for these texts' token ids."""
        lengths = list(map(len, batch))
        layout = lay_out(lengths, packed=self.packed)
        places = np.array(layout.places, dtype=np.int64)
        ends = np.cumsum(lengths)
        positions = np.arange(ends[-1]) - np.repeat(ends - lengths, lengths)
        cells = np.repeat(places[:, 0] * layout.tokens + places[:, 1], lengths) + positions
        shape = (layout.rows, layout.tokens)

        def grid(values: Ids, fill: int = 0) -> Ids:
            flat = np.full(layout.cells, fill, dtype=np.int64)
            flat[cells] = values
            return flat.reshape(shape)

        feed = {"input_ids": grid(np.fromiter(chain(*batch), np.int64, ends[-1]), self._pad_id)}
        if self.packed:
            feed["text_ids"] = grid(np.repeat(np.arange(1, len(batch) + 1), lengths))
            feed["position_ids"] = grid(positions)
            feed["first_tokens"] = places
        else:
            feed["attention_mask"] = grid(np.ones_like(positions))
            if "token_type_ids" in self._inputs:
                feed["token_type_ids"] = np.zeros(shape, dtype=np.int64)
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
