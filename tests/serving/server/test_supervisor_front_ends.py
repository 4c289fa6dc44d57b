"""One HTTP process ends, or the engine process pauses, while clients go on."""

import os
import signal
import threading
from functools import partial

import httpx
import pytest

from tests.support.fronts import fronts
from tests.support.processes import serving
from tests.support.registries import wait_for

SECONDS = 60
wait_until = partial(wait_for, seconds=SECONDS)


def test_an_http_process_that_gets_sigterm_is_replaced_and_no_request_is_lost(tiny_registry):
    with serving(tiny_registry, http_processes=2, shutdown_delay_ms=100) as server:
        outcomes = []
        stop = threading.Event()

        def client(number):
            with httpx.Client(base_url=server.url, timeout=SECONDS) as http:
                while not stop.is_set():
                    ask = http.post if number % 2 else httpx.post
                    url = "/v1/classify" if number % 2 else f"{server.url}/v1/classify"
                    body = {"texts": ["good film"], "deadline_ms": 50_000}
                    try:
                        status = ask(url, json=body, timeout=SECONDS).status_code
                    except httpx.TransportError as error:
                        status = repr(error)
                    outcomes.append(status)

        threads = [threading.Thread(target=client, args=(n,), daemon=True) for n in range(4)]
        for thread in threads:
            thread.start()
        wait_until(lambda: len(fronts(server)) == 2 and len(outcomes) > 10)
        for _ in range(2):
            replace_one(server)
            wait_for_more(outcomes)
        stop.set()
        for thread in threads:
            thread.join(SECONDS)
        status = server.stop()
        log = server.log()

    assert (set(outcomes), status) == ({200}, 0)
    assert log.count('"an HTTP process has ended and is replaced","status":0') == 2


def replace_one(server):
    before = {each.pid for each in fronts(server)}
    os.kill(min(before), signal.SIGTERM)
    wait_until(lambda: min(before) not in {each.pid for each in fronts(server)})
    wait_until(lambda: len(fronts(server)) == 2)


def wait_for_more(outcomes):
    enough = len(outcomes) + 10
    wait_until(lambda: len(outcomes) > enough)


def test_an_engine_process_that_was_paused_is_welcome_back(tiny_registry):
    with serving(tiny_registry, http_processes=1, shutdown_delay_ms=100) as server:
        (front,) = fronts(server)
        os.kill(server.process.pid, signal.SIGSTOP)
        try:
            wait_until(lambda: ready(server).status_code == 503)
            said = ready(server).json()
            live = httpx.get(f"{server.url}/health/live", timeout=SECONDS)
        finally:
            os.kill(server.process.pid, signal.SIGCONT)
        wait_until(lambda: ready(server).status_code == 200)
        answered = server.classify({"texts": ["good film"]})
        same = [each.pid for each in fronts(server)] == [front.pid]

    assert (said["code"], live.status_code, answered.status_code) == ("not_ready", 200, 200)
    assert "the engine process is silent" in said["detail"]
    assert same


@pytest.mark.parametrize("http_processes", [0, 1])
def test_an_engine_that_does_not_come_back_ends_the_server_with_the_reason(
    tiny_registry, tmp_path, http_processes
):
    hold = tmp_path / "hold"
    held = {
        "program": "tests.support.slow_serving",
        "environ": {"SLOW_HOLD": str(hold)},
        "http_processes": http_processes,
        "engine_timeout_ms": 1000,
        "shutdown_delay_ms": 100,
    }
    with serving(tiny_registry, **held) as server:
        hold.touch()
        failed = server.classify({"texts": ["good film"]})
        status = server.process.wait(SECONDS)
        log = server.log()

    assert (failed.status_code, status) == (500, 1)  # this program does not catch what is raised
    assert "a batch has run for over 1 s" in failed.json()["detail"]
    assert '"an engine does not respond","reason":"a batch has run for over 1 s"' in log
    assert "an engine has not responded for 2 s, twice SIZEWISE_ENGINE" in log.splitlines()[-1]


def ready(server):
    return httpx.get(f"{server.url}/health/ready", timeout=SECONDS)
