"""Progress of a long stage: a bar on a terminal, lines where there is none."""

import sys
from collections.abc import Iterable
from typing import Any, TextIO

from tqdm import tqdm

_LINE = "{desc}: {n_fmt} of {total_fmt} {unit}, {remaining} left"
_LINE_EVERY_S = 30.0
_UP = "\x1b[A"


def progress(
    steps: Iterable[Any] | None = None,
    *,
    total: int | None = None,
    initial: int = 0,
    does: str,
    units: str,
) -> "tqdm[Any]":
    """Count `steps`, or from `initial` to `total` by hand, in `units`; `does` says what is done.

    Without a terminal a line is printed every 30 seconds, and at the end of what took longer.
    """
    if sys.stderr.isatty():
        return tqdm(
            steps, total=total, initial=initial, desc=does, unit=f" {units}", dynamic_ncols=True,
            leave=None, disable=False,
        )  # fmt: skip
    return tqdm(
        steps, total=total, initial=initial, desc=does, unit=units, bar_format=_LINE,
        file=_Lines(sys.stderr), mininterval=_LINE_EVERY_S, maxinterval=_LINE_EVERY_S,
        delay=_LINE_EVERY_S, disable=False,
    )  # fmt: skip


class _Lines:
    """A stream on which what would overwrite a line begins a new one."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> None:
        """Write a bar's text as a line of its own."""
        if line := text.replace(_UP, "").strip():
            self._stream.write(line + "\n")

    def flush(self) -> None:
        """Flush the stream."""
        self._stream.flush()
