"""What this process may use of the machine: its cores, and which processor and GPUs they are."""

import os
import platform
import sys
import threading
from contextlib import suppress
from pathlib import Path

_CGROUP_ROOT = Path("/sys/fs/cgroup")
_MEMBERSHIP = Path("/proc/self/cgroup")
_CPUINFO = Path("/proc/cpuinfo")
_GPUS = Path("/proc/driver/nvidia/gpus")
_VNNI_FLAGS = {"avx512_vnni", "avx_vnni"}
# What the engines choose their kernels by, on x86 and ARM.
_KERNEL_FLAGS = _VNNI_FLAGS | {
    "avx", "avx2", "fma", "f16c", "avx512f", "avx512bw", "avx512_bf16", "avx512_fp16", "amx_tile",
    "amx_int8", "amx_bf16", "asimd", "asimdhp", "asimddp", "bf16", "i8mm", "sve", "sve2",
}  # fmt: skip
_NAMES = ("model name", "cpu family", "model", "CPU implementer", "CPU part", "cache size")


def usable_cores(cgroup_root: Path = _CGROUP_ROOT, membership: Path = _MEMBERSHIP) -> int:
    """Whole cores, at least 1: the affinity mask cut to the tightest cgroup CPU quota.

    Reads cgroup v2 (`cpu.max`, kernel docs admin-guide/cgroup-v2) and v1 (`cpu.cfs_quota_us`)
    at the process's own group and all of its parents. A fraction of a core rounds down.
    """
    cores = float(_cores())
    for line in _read(membership).splitlines():
        _, controllers, path = line.split(":", 2)
        if controllers and "cpu" not in controllers.split(","):
            continue
        root = cgroup_root / controllers if controllers else cgroup_root
        group = root / path.lstrip("/")
        for folder in (group, *group.parents):
            cores = min(cores, _quota(folder))
            if folder == root:
                break
    return max(1, int(cores))


def has_vnni(cpuinfo: Path = _CPUINFO) -> bool:
    """Return whether an x86 processor has VNNI, whose sums of int8 products do not saturate."""
    flags = (line for line in _read(cpuinfo).splitlines() if line.startswith("flags"))
    return not _VNNI_FLAGS.isdisjoint(next(flags, "").split())


def processor(cpuinfo: Path = _CPUINFO) -> str:
    """Name the processor's model and the instructions that the engines choose kernels by."""
    first: dict[str, str] = {}
    for line in _read(cpuinfo).splitlines():
        name, _, value = line.partition(":")
        first.setdefault(name.strip(), value.strip())
    flags = set((first.get("flags") or first.get("Features", "")).split())
    named = [first[name] for name in _NAMES if name in first]
    return " ".join([*named, *sorted(flags & _KERNEL_FLAGS)]) or platform.machine()


def gpus(folder: Path = _GPUS) -> str:
    """Name the NVIDIA GPUs of this machine, as far as the driver says."""
    lines = [
        line for path in sorted(folder.glob("*/information")) for line in _read(path).split("\n")
    ]
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("Model")]
    return ", ".join(models)


def yield_cores(nice: int) -> None:
    """Raise the nice value of this thread, on Linux, if the sandbox allows it."""
    if sys.platform == "linux":
        thread = threading.get_native_id()
        with suppress(OSError):
            own = os.getpriority(os.PRIO_PROCESS, thread)
            os.setpriority(os.PRIO_PROCESS, thread, own + nice)


def _cores() -> int:
    """Return the cores of the affinity mask; all cores where there is no such mask (macOS)."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _quota(folder: Path) -> float:
    """Return the CPU limit of one cgroup folder in cores; infinity if it sets none."""
    fields = _read(folder / "cpu.max").split()
    if not fields:
        fields = [
            *_read(folder / "cpu.cfs_quota_us").split(),
            *_read(folder / "cpu.cfs_period_us").split(),
        ]
    if len(fields) != 2 or fields[0] in ("max", "-1"):
        return float("inf")
    return int(fields[0]) / int(fields[1])


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""
