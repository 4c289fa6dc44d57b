"""The share of time in which the GPU runs something, and what the GPU is.

Measured by pynvml or else nvidia-smi, whose figure is the share of the last sixth of a second to
second with a kernel running: 1.0 does not say that every multiprocessor has work.
"""

import contextlib
import os
import shutil
import statistics
import subprocess
import threading

INTERVAL_S = 0.1


def device_number():
    """The first device that CUDA may use, as NVIDIA's tools name it."""
    return os.environ.get("CUDA_VISIBLE_DEVICES", "").partition(",")[0] or "0"


def by_pynvml():
    """A function that reads the busy share, or None where pynvml cannot."""
    try:
        import pynvml  # noqa: PLC0415 - it need not be installed

        pynvml.nvmlInit()
        name = device_number()
        handle = (
            pynvml.nvmlDeviceGetHandleByIndex(int(name))
            if name.isdigit()
            else pynvml.nvmlDeviceGetHandleByUUID(name)
        )
        pynvml.nvmlDeviceGetUtilizationRates(handle)
    except Exception:  # noqa: BLE001 - NVML's errors have no name where pynvml is missing
        return None
    return lambda: pynvml.nvmlDeviceGetUtilizationRates(handle).gpu / 100


def by_nvidia_smi():
    """A function that reads the busy share, or None where nvidia-smi cannot."""

    def read():
        return float(nvidia_smi("utilization.gpu")) / 100

    try:
        read()
    except (OSError, ValueError, subprocess.SubprocessError):
        return None
    return read


def nvidia_smi(*fields):
    """One line of nvidia-smi's answer."""
    command = [
        "nvidia-smi", "--id", device_number(), f"--query-gpu={','.join(fields)}",
        "--format=csv,noheader,nounits",
    ]  # fmt: skip
    answer = subprocess.run(command, capture_output=True, text=True, check=True, timeout=10)
    return answer.stdout.strip()


def gpu():
    """Name, driver and memory of the device; empty where nvidia-smi does not tell."""
    if shutil.which("nvidia-smi") is None:
        return {}
    try:
        name, driver, memory = nvidia_smi("name", "driver_version", "memory.total").split(", ")
    except (OSError, ValueError, subprocess.SubprocessError):
        return {}
    return {"name": name, "driver": driver, "memory_mib": int(float(memory))}


class Busy:
    """The mean share while this context is open; `found` is what the report says of it."""

    def __init__(self, device):
        self.found = {}
        self._ended = threading.Event()
        self._shares = []
        self._read, self._by = None, None
        if device != "cuda":
            self.found = {"not_measured": "there is no GPU in use"}
            return
        for name, make in (("pynvml", by_pynvml), ("nvidia-smi", by_nvidia_smi)):
            if self._read is None:
                self._read, self._by = make(), name
        if self._read is None:
            self.found = {"not_measured": "neither pynvml nor nvidia-smi answers"}

    def __enter__(self):
        self._thread = threading.Thread(target=self._sample, daemon=True)
        if self._read:
            self._thread.start()
        return self

    def __exit__(self, *_):
        self._ended.set()
        if not self._read:
            return
        self._thread.join()
        if self._shares:
            share = statistics.mean(self._shares)
            self.found = {"share": share, "samples": len(self._shares), "by": self._by}
        else:
            self.found = {"not_measured": f"{self._by} gave no sample"}

    def _sample(self):
        while not self._ended.wait(INTERVAL_S):
            with contextlib.suppress(Exception):  # a lost sample is counted by its absence
                self._shares.append(self._read())
