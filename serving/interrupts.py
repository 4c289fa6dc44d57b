"""Ctrl-C: it ends a command without a traceback, also while modules are imported."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def interruptible() -> Iterator[None]:
    """Let Ctrl-C end the process at once: an import may swallow a KeyboardInterrupt."""
    before = signal.signal(signal.SIGINT, signal.SIG_DFL)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def end_as_interrupted() -> None:
    """End this process by SIGINT, so that a shell or a script sees that it was stopped."""
    with interruptible():
        signal.raise_signal(signal.SIGINT)
