"""SIGHUP: a terminal that closes ends a server as SIGTERM does, unless nohup ignores it."""

import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.support.metric_values import total
from tests.support.processes import ROOT, serving

SECONDS = 30


@pytest.mark.parametrize("http_processes", [0, 1])
def test_a_hangup_loses_no_request_and_ends_the_server_with_0(
    tiny_registry, tmp_path, http_processes
):
    hold = tmp_path / "hold"
    held = {"program": "tests.support.slow_serving", "environ": {"SLOW_HOLD": str(hold)}}
    with (
        serving(tiny_registry, **held, http_processes=http_processes) as server,
        ThreadPoolExecutor() as pool,
    ):
        hold.touch()
        asked = pool.submit(server.classify, {"texts": ["good film"], "deadline_ms": 50_000})
        until = time.monotonic() + SECONDS
        while not total(server.metrics(), "sizewise_requests_in_flight"):
            assert time.monotonic() < until
        server.process.send_signal(signal.SIGHUP)
        hold.unlink()
        answered = asked.result(SECONDS)
        status = server.process.wait(SECONDS)

    assert (answered.status_code, status) == (200, 0)


@pytest.mark.parametrize("http_processes", [0, 1])
def test_nohup_keeps_a_server_running(tiny_registry, http_processes):
    with serving(tiny_registry, prefix=("nohup",), http_processes=http_processes) as server:
        server.process.send_signal(signal.SIGHUP)
        answered = [server.classify({"texts": ["good film"]}).status_code for _ in range(3)]
        status = server.stop()

    assert (answered, status) == ([200] * 3, 0)


def test_tests_under_nohup_start_processes_that_a_hangup_ends():
    asks = "import signal; print(signal.getsignal(signal.SIGHUP).name)"
    program = (
        "import subprocess, sys, tests.conftest\n"
        "subprocess.run([sys.executable, '-c', sys.argv[1]], check=True)"
    )

    command = ["nohup", sys.executable, "-c", program, asks]
    said = subprocess.run(command, check=True, cwd=ROOT, stdout=subprocess.PIPE, text=True).stdout

    assert said == "SIG_DFL\n"
