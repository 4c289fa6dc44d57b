"""HTTP processes that cannot start: at first that ends the server, later they are tried again."""

import os
import signal
import socket
import time
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


def before_http_processes(folder, code):
    """The environment in which each HTTP process runs this code first."""
    (folder / "sitecustomize.py").write_text(
        f"import os, sys, time\nif 'serving.server.frontend' in sys.orig_argv:\n    {code}\n"
    )
    paths = [str(folder), *os.environ.get("PYTHONPATH", "").split(os.pathsep)]
    return {"PYTHONPATH": os.pathsep.join(paths)}


def test_an_http_process_that_ends_before_it_has_started_ends_the_server(tiny_registry, tmp_path):
    environ = before_http_processes(tmp_path, "os._exit(7)")
    with serving(tiny_registry, wait_ready=False, http_processes=1, environ=environ) as server:
        status = server.process.wait(SECONDS)
        last = server.log().splitlines()[-1]

    assert status == 2
    assert last.startswith(
        "sizewise cannot start: an HTTP process ended with status 7 at its start"
    )


def test_the_server_is_ready_once_every_http_process_can_answer(tiny_registry, tmp_path):
    hold, first = tmp_path / "hold", tmp_path / "first"
    hold.touch()
    code = (
        f"try: os.mkdir({str(first)!r})\n"
        f"    except FileExistsError:\n"
        f"        while os.path.exists({str(hold)!r}): time.sleep(0.01)"
    )
    environ = before_http_processes(tmp_path, code)

    def ready():
        answer = httpx.get(f"{server.url}/health/ready", timeout=SECONDS)
        return answer.status_code, answer.text

    with serving(tiny_registry, wait_ready=False, http_processes=2, environ=environ) as server:
        wait_until(lambda: '"event":"serving"' in server.log())
        wait_until(lambda: "the HTTP processes are being started" in ready()[1])
        time.sleep(0.5)  # it would be ready by now
        early = "Sizewise is ready" in server.log()
        status, said = ready()
        hold.unlink()
        wait_until(lambda: "Sizewise is ready" in server.log())
        wait_until(lambda: {ready()[0] for _ in range(8)} == {200})  # each is told a moment later
        statuses = {server.classify({"texts": ["good film"]}).status_code for _ in range(8)}

    assert not early
    assert status == 503
    assert "the HTTP processes are being started" in said
    assert statuses == {200}


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
