import os
import platform

import pytest

from serving.inference.cpu import gpus, has_vnni, processor, usable_cores, yield_cores

HERE = len(os.sched_getaffinity(0))


@pytest.fixture
def cgroup(tmp_path):
    def make(files, membership):
        for name, content in files.items():
            path = tmp_path / "cgroup" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(content)
        (tmp_path / "membership").write_text(membership)
        return usable_cores(tmp_path / "cgroup", tmp_path / "membership")

    return make


def test_without_a_quota_the_affinity_mask_counts(cgroup):
    assert cgroup({"cpu.max": "max 100000"}, "0::/\n") == HERE
    assert cgroup({}, "") == HERE


def test_a_quota_rounds_down_to_whole_cores_and_never_to_none(cgroup):
    assert cgroup({"cpu.max": "150000 100000"}, "0::/\n") == 1
    assert cgroup({"cpu.max": "20000 100000"}, "0::/\n") == 1
    assert cgroup({"cpu.max": "99900000 100000"}, "0::/\n") == HERE


def test_a_parents_quota_counts_too(cgroup):
    files = {"pod/cpu.max": "100000 100000", "pod/container/cpu.max": "max 100000"}

    assert cgroup(files, "0::/pod/container\n") == 1


def test_version_one_of_cgroups_is_understood(cgroup):
    files = {
        "cpu,cpuacct/pod/cpu.cfs_quota_us": "100000",
        "cpu,cpuacct/pod/cpu.cfs_period_us": "100000",
    }

    assert cgroup(files, "4:memory:/pod\n3:cpu,cpuacct:/pod\n") == 1


def test_the_affinity_mask_of_this_process_counts():
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(before)})
    try:
        assert usable_cores() == 1
    finally:
        os.sched_setaffinity(0, before)


def test_without_affinity_masks_all_cores_count(cgroup, monkeypatch):
    monkeypatch.delattr(os, "sched_getaffinity")
    monkeypatch.setattr(os, "cpu_count", lambda: 7)

    assert cgroup({}, "") == 7


@pytest.mark.parametrize(
    ("cpuinfo", "vnni"),
    [
        ("flags\t\t: fpu avx2 avx512f avx512_vnni\n", True),
        ("flags\t\t: fpu avx2 avx_vnni\n", True),
        ("flags\t\t: fpu avx2 avx512f\n", False),
        ("Features\t: fp asimd\n", False),
    ],
)
def test_vnni_is_read_from_the_processor_s_flags(tmp_path, cpuinfo, vnni):
    path = tmp_path / "cpuinfo"
    path.write_text(f"processor\t: 0\n{cpuinfo}")

    assert has_vnni(path) is vnni


def test_a_machine_that_does_not_say_has_no_vnni(tmp_path):
    assert not has_vnni(tmp_path / "missing")


def test_a_sandbox_that_allows_no_nice_values_does_no_harm(monkeypatch):
    def refuse(*_):
        raise PermissionError

    monkeypatch.setattr(os, "setpriority", refuse)

    yield_cores(5)


X86 = """\
processor\t: 0
cpu family\t: 25
model\t\t: 17
model name\t: AMD EPYC 9V74
cache size\t: 1024 KB
cpu MHz\t\t: {mhz}
flags\t\t: fpu avx2 {flag} retbleed

processor\t: 1
model name\t: another
"""
ARM = "processor\t: 0\nBogoMIPS\t: 50.00\nFeatures\t: fp asimd i8mm\nCPU part\t: 0xd4f\n"


def test_a_processor_is_named_by_its_model_and_the_kernels_it_can_run(tmp_path):
    def named(text):
        (tmp_path / "cpuinfo").write_text(text)
        return processor(tmp_path / "cpuinfo")

    vnni = named(X86.format(mhz="2600.0", flag="avx512_vnni"))

    assert vnni == "AMD EPYC 9V74 25 17 1024 KB avx2 avx512_vnni"
    assert named(X86.format(mhz="3100.0", flag="avx512_vnni")) == vnni
    assert named(X86.format(mhz="2600.0", flag="avx512f")) != vnni
    assert named(ARM) == "0xd4f asimd i8mm"


def test_where_the_system_says_nothing_the_architecture_is_the_name(tmp_path):
    assert processor(tmp_path / "missing") == platform.machine()


def test_gpus_are_named_as_the_driver_names_them(tmp_path):
    assert gpus(tmp_path) == ""
    for number in ("0000:01:00.0", "0000:02:00.0"):
        (tmp_path / number).mkdir()
        (tmp_path / number / "information").write_text("Model: \t NVIDIA H100\nIRQ:\t 1\n")

    assert gpus(tmp_path) == "NVIDIA H100, NVIDIA H100"
