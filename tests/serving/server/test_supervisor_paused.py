"""The machine pauses: all processes of a server stand still at once, and go on."""

import os
import signal
import threading
import time
from functools import partial

import httpx
import psutil
import pytest

from tests.support.fronts import fronts
from tests.support.processes import FRESH, serving
from tests.support.registries import wait_for

SECONDS = 60
PAUSE_S = 3
"""Longer than an engine may take twice."""
wait_until = partial(wait_for, seconds=SECONDS)


def processes(server):
    main = psutil.Process(server.process.pid)
    return [main, *main.children(recursive=True)]


@pytest.mark.parametrize("http_processes", [0, 2])
def test_after_a_pause_of_all_processes_everything_is_answered_and_nothing_is_replaced(
    tiny_registry, http_processes
):
    settings = {
        "program": "tests.support.slow_serving",
        "environ": {"SLOW_BATCH_S": "0.05"},
        "variants": "tiny",
        "http_processes": http_processes,
        "engine_timeout_ms": 1000,
    }
    with serving(tiny_registry, **settings) as server:
        outcomes, stop = [], threading.Event()

        def client():
            while not stop.is_set():
                outcomes.append(
                    server.classify({"texts": ["good film"]}, headers=FRESH).status_code
                )

        clients = [threading.Thread(target=client, daemon=True) for _ in range(4)]
        for each in clients:
            each.start()
        wait_until(lambda: len(outcomes) > 4)
        before = [each.pid for each in fronts(server)]
        paused = processes(server)
        for each in paused:
            os.kill(each.pid, signal.SIGSTOP)
        time.sleep(PAUSE_S)
        so_far = len(outcomes)
        for each in reversed(paused):
            os.kill(each.pid, signal.SIGCONT)
        wait_until(lambda: len(outcomes) > so_far + 8)
        stop.set()
        for each in clients:
            each.join(SECONDS)
        probes = [
            httpx.get(f"{server.url}/health/{probe}", timeout=SECONDS).status_code
            for probe in ("live", "ready")
        ]
        after = [each.pid for each in fronts(server)]
        log = server.log()

    assert set(outcomes) == {200}
    assert probes == [200, 200]
    assert after == before
    for event in ("replaced", "does not respond", "silent", "a background task has failed"):
        assert event not in log
