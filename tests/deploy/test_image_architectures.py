"""What the CPU image leaves out, for both architectures: the Dockerfile's own step, run on folders
that hold the files of each architecture's wheels.
"""

import os
import platform
import re
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest

from tests.support.processes import ROOT

(STEP,) = re.findall(
    r"^RUN (rm (?:[^\n]*\\\n)+[^\n]*)$", (ROOT / "Dockerfile").read_text(), re.MULTILINE
)
PATTERNS = [word for word in STEP.replace("\\\n", " ").split()[1:] if not word.startswith("-")]
# What OpenVINO's wheel for arm64 lacks of them.
ONLY_AMD64 = {
    "openvino/libs/cache.json",
    "openvino/libs/libopenvino_intel_gpu_plugin.so",
    "openvino/libs/libopenvino_intel_npu_plugin.so",
}
NEEDED = [
    "openvino/__init__.py",
    "openvino/libs/libopenvino_arm_cpu_plugin.so",
    "openvino/libs/libopenvino_onnx_frontend.so.2641",
    "onnxruntime/capi/onnxruntime_pybind11_state.so",
    "numpy/__init__.py",
]
# The image's base is Debian 13, with glibc 2.41.
ARM64 = [f"--platform=manylinux_2_{minor}_aarch64" for minor in range(17, 42)]
HOW_TO_RUN = (
    "wheels for arm64 are downloaded only on request (70 MB): "
    "SIZEWISE_IMAGE_TESTS=1 .venv-dev/bin/python -m pytest tests/deploy/test_image_architectures.py"
)


def left_out(site_packages):
    """Runs the step in a folder, as the image's build does, and returns what is left of it."""
    done = subprocess.run(
        ["sh", "-c", STEP], cwd=site_packages, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    return [pattern for pattern in PATTERNS if any(site_packages.glob(pattern))]


def test_the_step_succeeds_where_the_wheel_has_no_plugins_and_keeps_what_serves(tmp_path):
    unneeded = [pattern.replace("*", "x") for pattern in PATTERNS if pattern not in ONLY_AMD64]
    for name in [*NEEDED, *(f"{each}/file" for each in unneeded)]:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()

    assert left_out(tmp_path) == []
    assert [name for name in NEEDED if not (tmp_path / name).is_file()] == []


@pytest.mark.skipif(platform.machine() != "x86_64", reason="compares with the wheels for amd64")
def test_every_pattern_of_the_step_names_something_of_the_locked_wheels():
    site_packages = Path(sysconfig.get_path("purelib"))

    assert [each for each in PATTERNS if not any(site_packages.glob(each))] == []


@pytest.mark.timeout(600)
def test_the_step_runs_on_the_locked_wheels_for_arm64(tmp_path):
    if os.environ.get("SIZEWISE_IMAGE_TESTS") != "1":
        pytest.skip(HOW_TO_RUN)
    locked = re.findall(
        r"^(?:openvino|onnxruntime|numpy)==[^\s\\]+",
        (ROOT / "constraints.txt").read_text(),
        re.MULTILINE,
    )
    assert len(locked) == 3
    download = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", *ARM64,
                "--python-version=3.13", "--implementation=cp", "--abi=cp313",
                "--only-binary=:all:", "--dest", tmp_path / "wheels"]  # fmt: skip
    subprocess.run([*download, *locked], check=True)
    site_packages = tmp_path / "site-packages"
    for wheel in Path(tmp_path / "wheels").glob("*.whl"):
        with zipfile.ZipFile(wheel) as archive:
            archive.extractall(site_packages)

    found = {each for each in PATTERNS if any(site_packages.glob(each))}
    assert set(PATTERNS) - found == ONLY_AMD64
    assert left_out(site_packages) == []
    assert (site_packages / "openvino/libs/libopenvino_arm_cpu_plugin.so").is_file()
    assert list((site_packages / "onnxruntime/capi").glob("onnxruntime_pybind11_state*aarch64*"))
