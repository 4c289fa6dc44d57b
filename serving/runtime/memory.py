"""The memory of this process."""

import ctypes
import resource
from contextlib import suppress
from mmap import PAGESIZE
from pathlib import Path


def resident_bytes() -> int:
    """Read the resident set from /proc/self/statm (proc(5)); without /proc (macOS), its peak."""
    try:
        return int(Path("/proc/self/statm").read_text().split()[1]) * PAGESIZE
    except FileNotFoundError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def return_freed() -> None:
    """Return memory that was freed to the system, where the C library can: malloc_trim(3) of glibc.

    Otherwise it keeps most of a graph that was unloaded, and the next one does not fit in there.
    """
    with suppress(AttributeError):
        ctypes.CDLL(None).malloc_trim(0)
