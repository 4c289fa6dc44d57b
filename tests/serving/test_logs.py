"""A real server whose log cannot be written: that costs lines, and nothing else."""

import json
import os
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.support.bundles import write_registry
from tests.support.processes import ROOT, serving
from tests.support.registries import models, wait_for

# A request line that is logged whole; so many fill what is kept for a stalled log.
LONG_PATH = "/" + "x" * 60_000
LONG_REQUESTS = 160


@contextmanager
def broken(kind):
    """A stream that is full, that nobody reads any more, or that is never read."""
    if kind == "full":
        with Path("/dev/full").open("wb") as full:
            yield full
        return
    reading, writing = os.pipe()
    if kind == "closed":
        os.close(reading)
    with os.fdopen(writing, "wb") as stream:
        yield stream
    if kind == "stalled":
        os.close(reading)


def dropped(server):
    return next(
        sample.value
        for family in text_string_to_metric_families(server.metrics())
        for sample in family.samples
        if sample.name == "sizewise_log_lines_dropped_total"
    )


@pytest.mark.parametrize(("kind", "http_processes"), [("full", 0), ("closed", 1), ("stalled", 1)])
def test_a_log_that_cannot_be_written_costs_no_answer_no_swap_and_no_shutdown(
    tmp_path, kind, http_processes
):
    registry = write_registry(tmp_path / "registry", tmp_path)
    settings = {"http_processes": http_processes, "scan_ms": 100, "engine": "onnxruntime"}
    with broken(kind) as output, serving(registry, output=output, **settings) as server:
        with httpx.Client(base_url=server.url, timeout=30) as client:
            paths = [LONG_PATH] * LONG_REQUESTS if kind == "stalled" else []
            missed = {client.get(path).status_code for path in paths}
            answers = [client.post("/v1/classify", json={"texts": ["good"]}) for _ in range(20)]
            sockets = {answer.extensions["network_stream"].get_extra_info("client_addr")
                       for answer in answers}  # fmt: skip
        wait_for(lambda: dropped(server) > 0)
        (registry / "tone" / "policy.json").write_text(json.dumps({"min_accuracy": 0.5}))
        wait_for(lambda: models(server)["models"][0]["policy"]["min_accuracy"] == 0.5)
        status = server.stop()

    assert missed <= {404}
    assert {answer.status_code for answer in answers} == {200}
    assert len(sockets) == 1, "one connection for all of them"
    assert status == 0


PROGRAM = """
import threading, warnings
from serving.logs import LOGGER, configure_logs
configure_logs()
LOGGER.info("whole lines %d", "no number")
warnings.warn("a warning of Python's")
thread = threading.Thread(target=lambda: 1 / 0)
thread.start(), thread.join()
class Unraisable:
    def __del__(self): raise KeyError("in a finalizer")
Unraisable()
raise ValueError("the end")
"""


def test_warnings_and_exceptions_that_nobody_catches_are_lines_of_the_log():
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], cwd=ROOT, capture_output=True, text=True, check=False
    )
    lines = [json.loads(line) for line in done.stdout.splitlines()]

    assert done.returncode == 1
    assert done.stderr == ""
    assert "a warning of Python's" in lines[0]["event"]
    assert [line["event"] for line in lines[1:]] == ["bug"] * 3
    assert [line["traceback"].splitlines()[-1] for line in lines[1:]] == [
        "ZeroDivisionError: division by zero",
        "KeyError: 'in a finalizer'",
        "ValueError: the end",
    ]
