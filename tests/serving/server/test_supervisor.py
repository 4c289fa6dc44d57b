import os
import shutil
import signal
import threading
import time

import httpx
import psutil
import pytest

from tests.support.fronts import fronts
from tests.support.processes import serving

SECONDS = 60


def ended(process):
    """A stopped parent has not heard of it yet."""
    return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE


def total(server, name):
    """A counter's value over its series whose labels hold `name`'s."""
    lines = (line for line in server.metrics().splitlines() if line.startswith(name))
    return sum(float(line.rpartition(" ")[2]) for line in lines)


@pytest.fixture
def pair(tiny_registry):
    """Two HTTP processes in front of one engine process."""
    with serving(tiny_registry, http_processes=2, shutdown_delay_ms=100) as server:
        yield server


def test_every_http_process_answers_and_one_counts(pair):
    bodies = [{"texts": ["good film", "bad plot"] * (1 + turn % 2)} for turn in range(40)]
    answers = [pair.classify(body) for body in bodies]  # each on a connection of its own

    assert {response.status_code for response in answers} == {200}
    for body, response in zip(bodies, answers, strict=True):
        labels = [result["label"] for result in response.json()["results"]]
        assert labels == ["positive", "negative"] * (len(body["texts"]) // 2)
    assert len(fronts(pair)) == 2
    expected = sum(len(body["texts"]) for body in bodies)
    assert total(pair, "sizewise_texts_total") == expected
    assert total(pair, 'sizewise_requests_total{code="200",endpoint="/v1/classify"') == len(bodies)
    models = httpx.get(f"{pair.url}/v1/models").json()["models"]
    assert {variant["engine"] for variant in models[0]["variants"]} == {"onnxruntime"}


def test_refusals_come_through_with_their_fields(tiny_registry):
    slow = {"program": "tests.support.slow_serving", "environ": {"SLOW_BATCH_S": "0.05"}}
    with serving(tiny_registry, http_processes=2, **slow) as pair:
        refused = [
            pair.classify({"texts": ["good"], "deadline_ms": 1}),
            pair.classify({"texts": ["good"], "variant": "huge"}),
            pair.classify({"texts": []}),
        ]

    assert [r.status_code for r in refused] == [504, 404, 422]
    assert [r.json()["field"] for r in refused] == ["deadline_ms", "variant", "texts"]


def test_an_http_process_that_dies_is_replaced_and_the_others_go_on(pair):
    first, second = fronts(pair)
    outcomes = []
    stop = threading.Event()

    def client():
        while not stop.is_set():
            try:
                outcomes.append(pair.classify({"texts": ["good film"]}).status_code)
            except httpx.TransportError as error:
                outcomes.append(repr(error))

    threads = [threading.Thread(target=client, daemon=True) for _ in range(4)]
    for thread in threads:
        thread.start()
    time.sleep(0.3)
    os.kill(first.pid, signal.SIGKILL)
    until = time.monotonic() + SECONDS
    while time.monotonic() < until and {each.pid for each in fronts(pair)} <= {
        first.pid,
        second.pid,
    }:
        time.sleep(0.05)
    answered = outcomes.count(200)
    time.sleep(1)
    stop.set()
    for thread in threads:
        thread.join(SECONDS)

    assert second.pid in {each.pid for each in fronts(pair)}
    assert len(fronts(pair)) == 2
    assert outcomes.count(200) > answered > 0
    # Only those that the dead process had in hand or in its backlog are lost.
    assert len(outcomes) - outcomes.count(200) <= 2 * len(threads)
    assert '"an HTTP process has ended and is replaced"' in pair.log()


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGSTOP])
def test_http_processes_end_when_the_engine_process_is_killed_or_stalls(pair, how):
    orphans = fronts(pair)

    os.kill(pair.process.pid, how)

    until = time.monotonic() + SECONDS
    while time.monotonic() < until and not all(map(ended, orphans)):
        time.sleep(0.05)
    assert all(map(ended, orphans))
    pair.process.kill()
    pair.process.wait(SECONDS)
    with pytest.raises(httpx.TransportError):
        pair.classify({"texts": ["good"]})


def test_models_that_do_not_load_stop_every_process(tiny_registry, tmp_path):
    broken = tmp_path / "registry"
    shutil.copytree(tiny_registry, broken)
    for model in broken.rglob("model.onnx"):
        model.write_bytes(b"not a graph")

    with serving(broken, wait_ready=False, http_processes=2) as server:
        started = fronts(server)
        status = server.process.wait(60)
        log = server.log()

    assert status == 2
    assert "sizewise cannot start" in log
    assert psutil.wait_procs(started, timeout=SECONDS)[1] == []
