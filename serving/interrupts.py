"""Signals that end a command: which they are, and Ctrl-C, also while modules are imported."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager


def ending_signals() -> list[signal.Signals]:
    """Return the signals that ask a server to drain and end.

    SIGHUP, of a terminal that closes, is one of them unless it is ignored, as by nohup.
    """
    ignored = signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    return [signal.SIGTERM, signal.SIGINT, *([] if ignored else [signal.SIGHUP])]


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
