"""The environment of a measurement: processor, cores, system and package versions."""

import os
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

# Client and server share one Python environment, so these are the server's versions as well.
_PACKAGES = (
    "sizewise",
    "onnxruntime",
    "openvino",
    "tokenizers",
    "numpy",
    "fastapi",
    "uvicorn",
    "locust",
    "geventhttpclient",
    "gevent",
)
_CPUINFO = Path("/proc/cpuinfo")


def environment() -> dict[str, object]:
    """Describe the processor, the cores that this process may use, and the installed versions."""
    return {
        "cpu": _cpu_model(),
        "cores": _cores(),
        "system": platform.platform(),
        "python": platform.python_version(),
        "versions": {name: found for name in _PACKAGES if (found := _version(name))},
    }


def _cores() -> int:
    """Return the cores of the affinity mask; all cores where there is no such mask (macOS)."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _cpu_model() -> str:
    lines = _CPUINFO.read_text().splitlines() if _CPUINFO.is_file() else []
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.machine())


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
