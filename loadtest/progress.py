"""Progress of a long run: a bar on a terminal, lines where there is none."""

import sys
from typing import Any, TextIO

from tqdm import tqdm

_LINE = "{n_fmt} of {total_fmt} {unit}, {remaining} left{postfix}"
_LINE_EVERY_S = 30.0


def progress(total: int, units: str) -> "tqdm[Any]":
    """Return a bar of `total` units; without a terminal it prints a line at least every 30 s."""
    if sys.stderr.isatty():
        return tqdm(total=total, unit=f" {units}", dynamic_ncols=True)
    return tqdm(
        total=total, unit=units, bar_format=_LINE, file=_Lines(sys.stderr),
        mininterval=_LINE_EVERY_S, maxinterval=_LINE_EVERY_S,
    )  # fmt: skip


class _Lines:
    """A stream that writes each text as a line of its own, never over the last one."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> None:
        """Write a bar's text as a line of its own."""
        if line := text.strip():
            self._stream.write(line + "\n")

    def flush(self) -> None:
        """Flush the stream."""
        self._stream.flush()
