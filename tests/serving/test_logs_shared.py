"""Several processes log to one pipe, which is slow: no line is torn."""

import fcntl
import json
import os
import subprocess
import sys
import threading
from contextlib import contextmanager

import httpx
import pytest

from serving.logs import json_line, shortened
from tests.support.processes import ROOT, serving

LINES = 300
PROGRAM = """
import sys
from serving.logs import configure_logs, log
configure_logs(shared=True)
for number in range(int(sys.argv[2])):
    log("line", writer=sys.argv[1], number=number, text="x" * (number * 37 % 9000))
"""


@contextmanager
def slow_pipe():
    """(a stream that is always full, a function that returns its lines once it is closed)"""
    reading, writing = os.pipe()
    fcntl.fcntl(writing, fcntl.F_SETPIPE_SZ, 4096)
    pieces = []

    def read():
        while piece := os.read(reading, 1000):
            pieces.append(piece)
        os.close(reading)

    reader = threading.Thread(target=read)
    reader.start()

    def lines():
        stream.close()
        reader.join(30)
        return b"".join(pieces).splitlines()

    with os.fdopen(writing, "wb") as stream:
        yield stream, lines


def test_lines_of_several_processes_are_whole_and_in_order():
    with slow_pipe() as (stream, lines):
        writers = [
            subprocess.Popen(
                [sys.executable, "-c", PROGRAM, name, str(LINES)], cwd=ROOT, stdout=stream
            )
            for name in "abc"
        ]
        statuses = [writer.wait(60) for writer in writers]
        found = [json.loads(line) for line in lines()]

    assert statuses == [0, 0, 0]
    for name in "abc":
        own = [line for line in found if line["writer"] == name]
        assert [line["number"] for line in own] == list(range(LINES))
        for line in own:
            whole = "x" * (line["number"] * 37 % 9000)
            assert line["text"] == whole or (" [...] " in line["text"] and len(whole) > 3900)


def test_the_lines_of_two_http_processes_are_whole(tiny_registry):
    with slow_pipe() as (stream, lines):
        with (
            serving(tiny_registry, http_processes=2, output=stream, engine="onnxruntime") as server,
            httpx.Client(base_url=server.url, timeout=30) as one,
        ):
            for number in range(60):
                for client in (one, httpx):
                    url = "" if client is one else server.url
                    assert client.get(f"{url}/n{'x' * (number * 131)}").status_code == 404
            status = server.stop()
        found = [json.loads(line) for line in lines() if line.startswith(b"{")]

    asked = [line for line in found if line.get("status") == 404]
    assert status == 0
    assert len(asked) == 120
    assert {line["event"] for line in found} > {"request", "serving", "ready"}


@pytest.mark.parametrize(
    "fields",
    [
        {"traceback": "frame\n" * 2000 + "ValueError: the end"},
        {"reason": "é\u0001" * 3000},
        {"refused": {f"folder {n}": "why " * 50 for n in range(50)}, "models": ["tone"]},
        {f"name {n}": "x" * 60 for n in range(200)},
    ],
)
def test_a_line_that_is_shortened_is_json_and_says_when_and_what(fields):
    line = json_line(0, "error", "sizewise", "bug", fields).encode()
    short = shortened(line, 4095)
    said = json.loads(short)

    assert len(line) > 4095 >= len(short)
    assert (said["time"], said["level"]) == ("1970-01-01T00:00:00.000Z", "error")
    if "traceback" in fields:
        assert said["traceback"].endswith("frame\nValueError: the end")
        assert len(short) > 3900, "it keeps what fits"
    if len(fields) > 100:
        assert said["event"] == "a line was too long"
    else:
        assert said["event"] == "bug"
