"""A process ends with its own status, whatever its threads are in."""

import subprocess
import sys

import pytest

from tests.support.processes import ROOT

ENDING = """
import atexit, sys, threading, time
from serving.process_exit import end
atexit.register(print, "registered")
threading.Thread(target=time.sleep, args=[60]).start()
{extra}
print("written", end="")
end({status})
"""
# Threads that come back from native code again and again, as an engine's do. The engine's module
# builds OpenVINO's type table; threads that first use it together deadlock.
BUSY = """
import serving.inference.openvino_engine
from openvino import Core, opset13 as ops
import numpy as np, openvino
given = ops.parameter([64, 64], np.float32)
product = openvino.Model([ops.matmul(given, given, False, False)], [given])
graph = Core().compile_model(product, "CPU")
all_run = threading.Barrier(5)
def run():
    request = graph.create_infer_request()
    request.infer([np.ones((64, 64), np.float32)])
    all_run.wait(40)
    while True:
        request.infer([np.ones((64, 64), np.float32)])
for _ in range(4):
    threading.Thread(target=run, daemon=True).start()
all_run.wait(40)
"""


def ended(script):
    return subprocess.run(
        [sys.executable, "-c", script],
        cwd=ROOT, capture_output=True, text=True, timeout=50, check=False,
    )  # fmt: skip


@pytest.mark.parametrize("status", [0, 2])
def test_a_process_ends_at_once_with_its_status_and_all_that_was_written(status):
    told = ended(ENDING.format(status=status, extra=""))

    assert (told.returncode, told.stdout, told.stderr) == (status, "writtenregistered\n", "")


def test_threads_in_native_code_do_not_abort_it():
    for _ in range(3):
        told = ended(ENDING.format(status=0, extra=BUSY))
        assert (told.returncode, told.stderr) == (0, "")


def test_a_closed_stream_does_not_change_the_status():
    told = ended(ENDING.format(status=3, extra="sys.stdout.close(); sys.stdout = sys.stderr"))

    assert told.returncode == 3


@pytest.mark.parametrize("program", ["serving", "serving.command"])
def test_the_commands_end_so(program):
    told = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", program, "--help"],
        cwd=ROOT, capture_output=True, text=True, timeout=50, check=True,
    )  # fmt: skip

    assert "serving.process_exit" in told.stderr
