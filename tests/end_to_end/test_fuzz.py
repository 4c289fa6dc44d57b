"""The fuzzer, short: every kind of request to a real server, and what it would say of a fault."""

import asyncio
import json
import subprocess
import sys

import pytest

from tests.benchmarks.fuzz import grpc_fuzzer, openapi, parts, seeds, value_fuzzer
from tests.benchmarks.fuzz.byte_fuzzer import END, KEEP
from tests.benchmarks.fuzz.framing import framing_of
from tests.benchmarks.fuzz.http_client import Answer, fault_of
from tests.benchmarks.fuzz.servers import Sample, faults_of_log, growth, server
from tests.benchmarks.fuzz.shard import Target, made, share
from tests.benchmarks.fuzz.tally import Tally
from tests.support.processes import ROOT

SEED = 20


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    with server(tmp_path_factory.mktemp("fuzz"), keys=True) as running:
        yield running
        assert running.lives
        assert faults_of_log(running.running.log_path) == []


def said(tally):
    return [each["what"] for each in tally.faults]


@pytest.mark.parametrize(("part", "count"), [("bytes", 800), ("values", 800), ("admin", 200)])
def test_what_is_mutated_is_answered_without_a_fault(served, part, count):
    target = parts.target_of(part, parts.PARTS[part], served)
    tally = share(target, SEED, range(count))

    assert said(tally) == []
    assert tally.requests >= count
    assert {"200", "400"} <= tally.answers.keys()


def test_mutated_calls_of_grpc_are_answered_without_a_fault(served):
    target = parts.target_of("grpc", parts.PARTS["grpc"], served)
    tally = asyncio.run(grpc_fuzzer.share(target, SEED, range(300)))

    assert said(tally) == []
    assert {"200", "400"} <= tally.answers.keys()


def test_no_answer_contradicts_the_openapi_documents(served):
    tally = openapi.share(served, SEED, 0, 100)

    assert said(tally) == []
    assert "200" in tally.answers


def test_a_seed_and_a_number_make_the_same_request():
    target = Target("bytes", "mixed")
    values = value_fuzzer.hypothesis_values(SEED)
    first = [made(target, SEED, number, values) for number in range(300)]
    again = [made(target, SEED, number, values) for number in range(300)]
    other = [made(target, SEED + 1, number, values) for number in range(300)]

    assert [each.parts for each in first] == [each.parts for each in again]
    assert [each.parts for each in first] != [each.parts for each in other]
    assert {each.then for each in first} >= {KEEP, END}


def test_every_seed_is_one_whole_request():
    for seed in seeds.EVERY + seeds.OF_ADMIN + seeds.OF_ADMIN_SLOW:
        framing = framing_of(seed.content())
        assert (framing.methods, framing.complete, framing.is_whole) == ([seed.method], 1, True)


def test_every_seed_that_is_not_changed_is_answered_with_200(served):
    target = parts.target_of("values", parts.PARTS["values"], served)
    for seed in seeds.EVERY:
        status = asyncio.run(asked(target.port, seed.content(target.headers)))
        assert status in ({405} if seed.method == "OPTIONS" else {200, 504}), seed


async def asked(port, content):
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(content)
    head = await reader.readuntil(b"\r\n\r\n")
    writer.close()
    return int(head[9:12])


@pytest.mark.parametrize(
    ("status", "head", "content", "why"),
    [
        (500, b"", b"{}", "status 500"),
        (503, b"", b"{}", "status 503"),
        (504, b"", b'"no reason"', "status 504"),
        (504, b"", b'"The deadline would be missed"', ""),
        (424, b"", b"{}", "status 424: the engine failed"),
        (200, b"\r\ncontent-type: application/json", b"[NaN]", "content is not JSON"),
        (200, b"\r\ncontent-type: application/json", b"[1]", ""),
    ],
)
def test_an_answer_that_breaks_a_promise_is_a_fault(status, head, content, why):
    found = fault_of(Answer(status, head, content, closes=False), allowed={504})
    assert found.startswith(why)
    assert bool(found) == bool(why)


def test_what_grows_is_named():
    before = Sample(100 << 20, 40, 20)

    assert growth(before, Sample(130 << 20, 50, 25)) == []
    assert [each.split()[0] for each in growth(before, Sample(300 << 20, 90, 50))] == [
        "memory", "descriptors", "threads",
    ]  # fmt: skip


def test_a_bug_in_the_log_is_found(tmp_path):
    log = tmp_path / "log"
    log.write_text(
        '{"time":"","level":"info","event":"bug"}\n{"level":"warning","event":"late"}\n'
        '{"level":"error","event":"bug"}\nSizewise is ready\nTraceback (most recent call last):\n'
    )
    assert len(faults_of_log(log)) == 2


def test_a_run_that_was_killed_goes_on_and_says_what_held(tmp_path):
    command = [
        sys.executable, "-m", "tests.benchmarks.fuzz", "--requests", "300", "--parts", "values",
        "--processes", "0", "--tiny", "--out", str(tmp_path),
    ]  # fmt: skip
    (tmp_path / "run.json").write_text(json.dumps({"requests": 300, "seed": SEED}))
    done = Tally(requests=102, answers={"200": 102})
    line = {"first": 0, "count": 102, "tally": done.as_json()}
    (tmp_path / "values.jsonl").write_text(json.dumps(line) + '\n{"first": 9')
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    found = json.loads(run.stdout.splitlines()[-1])

    assert run.returncode == 0, run.stdout + run.stderr
    assert found["parts"][0]["requests"] == 102
    other = subprocess.run(
        [*command, "--seed", "1"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert other.returncode == 2
    assert "holds another run" in other.stderr
