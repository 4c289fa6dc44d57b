"""The memory of this process."""

import resource
from mmap import PAGESIZE
from pathlib import Path


def resident_bytes() -> int:
    """Read the resident set from /proc/self/statm (proc(5)); without /proc (macOS), its peak."""
    try:
        return int(Path("/proc/self/statm").read_text().split()[1]) * PAGESIZE
    except FileNotFoundError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
