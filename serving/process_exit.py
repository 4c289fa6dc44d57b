"""Ends a process in which threads may still be in native code."""

import atexit
import os
import sys
from contextlib import suppress
from typing import NoReturn


def end(status: int) -> NoReturn:
    """Run what is registered with `atexit`, flush the standard streams, and end with `status`.

    The interpreter's own end takes its state away while daemon threads live on. One that then
    returns from native code (a batch that still runs, a file system that hangs) may call C++'s
    `terminate`, and the process ends with SIGABRT instead.
    """
    atexit._run_exitfuncs()  # noqa: SLF001
    for stream in (sys.stdout, sys.stderr):
        with suppress(AttributeError, OSError, ValueError):  # closed, or nobody reads
            stream.flush()
    os._exit(status)
