"""No text, label, key or name of a user remains where the program looks, which finds what does."""

import subprocess
import sys

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from tests.benchmarks.privacy import marks, places
from tests.benchmarks.privacy.__main__ import PROGRAMS
from tests.support.processes import ROOT


@pytest.mark.parametrize("program", PROGRAMS)
def test_marked_contents_of_every_protocol_are_found_nowhere(program):
    command = [sys.executable, "-m", "tests.benchmarks.privacy", "--only", program]
    ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    rows = [line for line in ran.stdout.splitlines() if line.endswith("| none |")]

    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert len(rows) == 1


def test_a_mark_that_remains_is_found(tmp_path):
    (tmp_path / "log").write_text('{"event": "a ZQV text"}')
    (tmp_path / "zqv-named").write_text("")
    (tmp_path / "else").write_text("good film")
    places.write_mark(tmp_path)

    found, searched = places.files_with_marks(tmp_path)

    assert found == ["log", "planted.gz", "zqv-named"]
    assert searched == 4
    assert places.files_with_marks(tmp_path, but=(tmp_path / "log",))[0] == found[1:]


@pytest.mark.parametrize(
    ("span", "count"),
    [
        ({"trace_id": b"zqv" + bytes(13), "span_id": b"zqv" + bytes(5)}, 0),
        ({"parent_span_id": b"zqv" + bytes(5)}, 0),
        ({"name": "POST /zqv", "trace_state": "zqv=zqv"}, 3),
        ({"attributes": [{"key": "user", "value": {"string_value": "zqv"}}]}, 1),
    ],
)
def test_a_mark_in_a_trace_is_found_unless_random_ids_spell_it(span, count):
    sent = ExportTraceServiceRequest(resource_spans=[{"scope_spans": [{"spans": [span]}]}])

    assert places.count_in(places.trace_of(sent.SerializeToString())) == count


@pytest.mark.parametrize("content", [b"good film", b'{"inputs":["bad plot"]}'])
def test_marked_contents_keep_their_length(content):
    assert len(marks.marked(content)) == len(content)
    assert places.count_in(marks.marked(content)) == 2


def test_requests_reach_every_protocol():
    sent = list(marks.requests(()))
    paths = {path for _, path, _, _ in sent}

    assert {"/v1/classify", "/predict", "/v1/moderations", "/v2/rerank"} <= paths
