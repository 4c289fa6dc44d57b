"""HTTP processes that cannot start: at first that ends the server, later they are tried again."""

import os
import signal
import socket
from functools import partial

import httpx
import pytest

from tests.support.api_keys import write_callers
from tests.support.fronts import fronts
from tests.support.metric_values import total
from tests.support.processes import free_port, serving
from tests.support.registries import wait_for

SECONDS = 60
wait_until = partial(wait_for, seconds=SECONDS)


@pytest.mark.parametrize("named", ["SIZEWISE_GRPC_PORT", "SIZEWISE_CALLERS"])
def test_what_an_http_process_cannot_start_with_ends_the_server_with_the_reason(
    tiny_registry, tmp_path, named
):
    callers = tmp_path / "callers.json"
    write_callers(callers, search={})
    with socket.socket() as taken:
        port = free_port()
        if named == "SIZEWISE_GRPC_PORT":
            taken.bind(("127.0.0.1", port))
            taken.listen()
        else:
            callers.write_text("{")
        settings = {"grpc_port": port, "callers": callers, "http_processes": 2}
        with serving(tiny_registry, wait_ready=False, **settings) as server:
            status = server.process.wait(SECONDS)
            log = server.log()

    assert status == 2
    assert log.splitlines()[-1].startswith(f"sizewise cannot start: {named}: ")
    assert "Traceback" not in log


def test_an_http_process_that_ends_before_it_has_started_ends_the_server(tiny_registry, tmp_path):
    (tmp_path / "sitecustomize.py").write_text(
        "import os, sys\nif 'serving.server.frontend' in sys.orig_argv: os._exit(7)\n"
    )
    environ = {
        "PYTHONPATH": os.pathsep.join(
            [str(tmp_path), *os.environ.get("PYTHONPATH", "").split(os.pathsep)]
        )
    }
    with serving(tiny_registry, wait_ready=False, http_processes=1, environ=environ) as server:
        status = server.process.wait(SECONDS)
        last = server.log().splitlines()[-1]

    assert status == 2
    assert last.startswith(
        "sizewise cannot start: an HTTP process ended with status 7 at its start"
    )


def test_a_replacement_that_cannot_start_is_tried_again_while_the_others_answer(
    tiny_registry, tmp_path
):
    callers = tmp_path / "callers.json"
    key = write_callers(callers, search={})["search"]
    whole = callers.read_text()
    with serving(tiny_registry, http_processes=2, callers=callers) as server:
        wait_until(lambda: server.log().count('"event":"ready"') == 2)
        first, second = fronts(server)
        callers.write_text("{")
        os.kill(first.pid, signal.SIGKILL)
        wait_until(
            lambda: '"an HTTP process cannot start","reason":"SIZEWISE_CALLERS' in server.log()
        )
        beside = server.classify({"texts": ["good film"]}, headers=key)
        failures = total(server.metrics(), "sizewise_task_failures_total")
        callers.write_text(whole)
        wait_until(lambda: len(fronts(server)) == 2)
        same = second.pid in {each.pid for each in fronts(server)}
        ready = httpx.get(f"{server.url}/health/ready", timeout=SECONDS).status_code
        status = server.stop()

    assert (beside.status_code, ready, status) == (200, 200, 0)
    assert failures >= 2, "one was killed and one could not start"
    assert same
