"""What a training that was killed goes on from."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

_EVERY_S = 300.0
_NAME = "training.pt"

State = dict[str, Any]


class Checkpoint:
    """A training's state, written every five minutes; without a folder, never."""

    def __init__(self, folder: Path | None, clock: Callable[[], float] = time.monotonic) -> None:
        self._folder = folder
        self._clock = clock
        self._written_s = clock()

    def read(self) -> State | None:
        """Return the newest state; None if there is none that can be read."""
        return read_state(self._folder / _NAME) if self._folder else None

    def write_if_due(self, state: Callable[[], State]) -> None:
        """Write the state, if the last time is long enough ago."""
        if self._folder is None or self._clock() < self._written_s + _EVERY_S:
            return
        write_state(self._folder / _NAME, state())
        self._written_s = self._clock()


def read_state(path: Path) -> State | None:
    """Return what `write_state` wrote; None if there is nothing that can be read."""
    if not path.is_file():
        return None
    try:
        state: State = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # noqa: BLE001  of a damaged file, many types
        print(f"{path} cannot be read, so training begins again: {error}")
        return None
    return state


def write_state(path: Path, state: State) -> None:
    """Write tensors and numbers, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    staged = path.with_suffix(".staged")
    torch.save(state, staged)
    staged.replace(path)
