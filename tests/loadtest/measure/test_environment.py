import os

from loadtest.measure import environment as module
from loadtest.measure.environment import environment


def test_a_machine_without_affinity_masks_and_proc_is_described(monkeypatch):
    monkeypatch.delattr(os, "sched_getaffinity")
    monkeypatch.setattr(os, "cpu_count", lambda: 7)
    monkeypatch.setattr(module, "_CPUINFO", module._CPUINFO / "missing")
    monkeypatch.setattr(module.platform, "machine", lambda: "arm64")

    described = environment()

    assert (described["cores"], described["cpu"]) == (7, "arm64")
