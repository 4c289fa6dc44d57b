"""A teacher's states of all tokens of the texts, which are asked for once if there is room."""

import os
import shutil
import tempfile
import weakref
from collections.abc import Sequence
from itertools import accumulate, pairwise
from pathlib import Path

import torch
from transformers import PreTrainedModel

from models.recipe_sections import TrainingPrecision
from models.training.device import device_of, to_training_device
from models.training.encodings import Ids
from models.training.loop import outputs, padded

_MOST_BYTES = 32 << 30
_SHARE_OF_FREE = 0.5
_BYTES_PER_NUMBER = 2


class TeacherStates:
    """A teacher's states after some of its layers, for each token of the texts.

    `encodings` are the texts' ids. On a CPU the states are kept in half precision in a file without
    a name in `folder`: at most 32 GiB and half of what is free there. The teacher reads all other
    texts again each time; on a GPU all of them, since that takes it no longer than a disk.
    """

    def __init__(
        self,
        teacher: PreTrainedModel,
        encodings: Sequence[Ids],
        layers: Sequence[int],
        precision: TrainingPrecision,
        folder: Path,
    ) -> None:
        to_training_device(teacher)
        self.encodings = encodings
        self._teacher = teacher
        self._layers = layers
        self._precision = precision
        token_bytes = _BYTES_PER_NUMBER * len(layers) * teacher.config.hidden_size
        ends = accumulate((len(ids) * token_bytes for ids in encodings), initial=0)
        self._places = list(pairwise(ends))
        self._is_kept = [False] * len(encodings)
        self._file = tempfile.TemporaryFile(dir=folder, buffering=0)  # noqa: SIM115 (below)
        weakref.finalize(self, self._file.close)
        self._room = 0.0
        if device_of(teacher).type == "cpu":
            self._room = min(_MOST_BYTES, _SHARE_OF_FREE * shutil.disk_usage(folder).free)

    def of(self, batch: Sequence[int]) -> torch.Tensor:
        """Return the states of these texts' tokens, one text after the other.

        They are of shape (tokens, layers, width), in fp32, on the teacher's device.
        """
        new = [i for i in batch if not self._is_kept[i]]
        asked = dict(zip(new, self._ask(new), strict=True)) if new else {}
        for text, states in asked.items():
            self._keep(text, states)
        return torch.cat([asked[i] if i in asked else self._read(i) for i in batch])

    def _ask(self, texts: Sequence[int]) -> Sequence[torch.Tensor]:
        encodings = [self.encodings[i] for i in texts]
        with torch.no_grad():
            output = outputs(self._teacher, encodings, self._precision, output_hidden_states=True)
        assert output.hidden_states is not None
        tokens = padded(encodings)["attention_mask"].bool()
        after = [output.hidden_states[layer + 1][tokens].float() for layer in self._layers]
        return torch.split(torch.stack(after, dim=1), [len(ids) for ids in encodings])

    def _keep(self, text: int, states: torch.Tensor) -> None:
        start, end = self._places[text]
        if end > self._room:
            return
        try:
            written = os.pwrite(self._file.fileno(), states.half().numpy().tobytes(), start)
        except OSError:  # the disk is full
            return
        self._is_kept[text] = written == end - start

    def _read(self, text: int) -> torch.Tensor:
        start, end = self._places[text]
        kept = bytearray(os.pread(self._file.fileno(), end - start, start))
        states = torch.frombuffer(kept, dtype=torch.half)
        return states.view(-1, len(self._layers), self._teacher.config.hidden_size).float()
