"""A teacher's states of all tokens of the texts: asked for once, as far as there is room."""

import os
import shutil
import tempfile
from collections.abc import Sequence
from itertools import accumulate, pairwise
from pathlib import Path

import numpy as np
import torch
from transformers import PreTrainedModel

from models.recipe_sections import TrainingPrecision
from models.training.device import to_training_device
from models.training.encodings import Ids
from models.training.loop import outputs, padded

_MOST_BYTES = 32 << 30
_SHARE_OF_FREE = 0.5
_BYTES_PER_NUMBER = 2


class TeacherStates:
    """The states after some layers of a teacher's, of each token of the texts.

    They are kept in half precision in a file in `folder`: at most 32 GiB and half of what is free
    there. Texts beyond that are read by the teacher each time. The file has no name, so nothing of
    it is left when the program ends.
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
        self._teacher = teacher
        self.encodings = encodings
        self._layers = layers
        self._precision = precision
        self._places = list(pairwise(accumulate(map(len, encodings), initial=0)))
        self._kept = _room((len(layers), teacher.config.hidden_size), self._places[-1][1], folder)
        self._is_kept = [False] * len(encodings)

    def of(self, batch: Sequence[int]) -> torch.Tensor:
        """Return the states of these texts' tokens, one text after the other.

        Its shape is (tokens, layers, width), in fp32 or as they are kept.
        """
        new = [i for i in batch if not self._is_kept[i]]
        asked = dict(zip(new, self._ask(new), strict=True)) if new else {}
        for i, states in asked.items():
            start, end = self._places[i]
            if end <= len(self._kept):
                self._kept[start:end] = states
                self._is_kept[i] = True
        return torch.cat([asked[i] if i in asked else self._read(i) for i in batch])

    def _read(self, text: int) -> torch.Tensor:
        start, end = self._places[text]
        return self._kept[start:end].float()

    def _ask(self, texts: Sequence[int]) -> list[torch.Tensor]:
        encodings = [self.encodings[i] for i in texts]
        with torch.no_grad():
            output = outputs(self._teacher, encodings, self._precision, output_hidden_states=True)
        assert output.hidden_states is not None
        after = [output.hidden_states[layer + 1].float() for layer in self._layers]
        tokens = padded(encodings)["attention_mask"].bool()
        states = torch.stack([each[tokens] for each in after], dim=1)
        return list(states.cpu().split([len(ids) for ids in encodings]))


def _room(shape: tuple[int, int], tokens: int, folder: Path) -> torch.Tensor:
    """A tensor of half precision on the disk, of shape (tokens, *shape) or of fewer tokens."""
    each = _BYTES_PER_NUMBER * shape[0] * shape[1]
    with tempfile.TemporaryFile(dir=folder) as file:
        free = shutil.disk_usage(folder).free
        kept = min(tokens, int(min(_MOST_BYTES, _SHARE_OF_FREE * free) / each))
        try:
            os.posix_fallocate(file.fileno(), 0, kept * each)
        except OSError:  # there is less room than is said, or none for nothing
            return torch.empty(0, *shape, dtype=torch.half)
        return torch.from_numpy(np.memmap(file, np.float16, shape=(kept, *shape)))
