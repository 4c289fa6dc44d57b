"""`python -m tests.benchmarks.privacy`: what remains of marked texts, keys and ids, and where.

A real server with every option on is sent marked requests of every kind over HTTP, gRPC and Envoy's
protocol: without HTTP processes and with two, with an engine that raises, and with a caller who
consents to the text log, encrypted and not. An offline job reads marked texts. Then logs, metrics,
traces, pages and every file that they could write are searched for the mark. It may be in a text
log that is not encrypted, and there only until its time is over. Ends with status 1 if it is found
elsewhere, or not where it must be.
"""

import argparse
import asyncio
import contextlib
import csv
import json
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import grpc
import httpx
from cryptography.fernet import Fernet
from tqdm import tqdm

from tests.benchmarks.fuzz.servers import registry_of, server
from tests.benchmarks.privacy import marks, places
from tests.support.clients import ask
from tests.support.collector import collector
from tests.support.processes import ROOT, clean_environ
from tests.support.registries import wait_for

CALLS = 300
LOGGED_S = 20
LOGGING = {"feedback_texts": 1000, "text_log_share": 1, "text_log_flush_s": 1}
WAITS = {"default_deadline_ms": 5000, "ext_proc_deadline_ms": 1500}


@dataclass(frozen=True)
class Row:
    """What was sent to one program, what was searched, and where the mark was found."""

    program: str
    sent: str
    searched: str
    found: list[str]


def main():
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.privacy", description=__doc__)
    parser.add_argument("--only", choices=PROGRAMS, help="the one program to search")
    only = parser.parse_args().only
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        planted = places.write_mark(folder)
        assert places.files_with_marks(folder)[0] == [planted.name], "the search finds nothing"
        planted.unlink()
        rows = [PROGRAMS[name](folder / name) for name in ([only] if only else PROGRAMS)]
    print("| program | sent | searched | found |\n|---|---|---|---|")
    for row in rows:
        print(f"| {row.program} | {row.sent} | {row.searched} | {', '.join(row.found) or 'none'} |")
    sys.exit(any(row.found for row in rows))


def served(folder, program, fault="", *, consents=False, **settings):
    """Send everything to a server all of whose files lie under `folder`."""
    environ = environment(folder)
    registry = registry_of(folder)
    (registry / "tone" / "policy.json").write_text(
        json.dumps({"sample_share": 1.0, "harmless": ["positive"]})
    )
    traces = []
    with collector(lambda _path, body: traces.append(places.trace_of(body))) as url:
        environ |= {"FAULTY_ENGINE": str(folder / "fault"), "OTEL_BSP_SCHEDULE_DELAY": "100"}
        with server(
            folder, keys=True, caller={"text_log": consents}, environ=environ, trace_endpoint=url,
            playground=True, tuning=folder / "tuning", program="tests.support.faulty_serving",
            ext_proc_failure="closed", text_log=folder / "text-log", **LOGGING, **WAITS, **settings,
        ) as running:  # fmt: skip
            (folder / "fault").write_text(fault)
            counts = [
                asyncio.run(over_http(running)), asyncio.run(over_grpc(running)), checked(running)
            ]  # fmt: skip
            faults = faults_of_text_log(folder / "text-log", settings, consents=consents)
            pages = places.told(running.running.url, running.headers)
            status = running.running.stop()
            log = running.running.log_path.read_bytes()
    files, searched = places.files_with_marks(folder)
    found = (
        faults
        + files
        + [
            what
            for what, content in (("log", log), ("metrics and pages", pages), *numbered(traces))
            if places.count_in(content)
        ]
    )
    found += [f"exit status {status}"] if status else []
    sent = f"{counts[0]} HTTP, {counts[1]} gRPC, {counts[2]} ext_proc"
    lines = len(log.splitlines())
    return Row(program, sent, f"{lines} log lines, {len(traces)} traces, {searched} files", found)


def faults_of_text_log(log, settings, *, consents):
    """What is wrong with it: it keeps what it must not, or nothing, or for too long."""
    if not consents:
        return ["texts without consent"] if any(log.rglob("*.parquet*")) else []
    wait_for(lambda: any(log.rglob("texts/*")), seconds=20)
    if "text_log_keys" in settings:
        key = Fernet(settings["text_log_keys"].read_bytes())
        for path in log.rglob("texts/*"):
            key.decrypt(path.read_bytes())  # InvalidToken if it is not encrypted
        return []
    if not places.files_with_marks(log)[0]:
        return ["no text of a caller who consents"]
    wait_for(lambda: not places.files_with_marks(log)[0], seconds=5 * LOGGED_S)
    return []


def environment(folder):
    """Variables that keep a program's files under `folder`."""
    homes = {"TMPDIR": "tmp", "HOME": "home", "XDG_CACHE_HOME": "cache"}
    for name in homes.values():
        (folder / name).mkdir(parents=True)
    return {variable: str(folder / name) for variable, name in homes.items()}


def numbered(traces):
    return [(f"trace {number}", content) for number, content in enumerate(traces)]


async def over_http(running):
    """Send every request; return how many were answered."""
    limits = httpx.Limits(max_connections=8)
    async with httpx.AsyncClient(limits=limits, timeout=60) as client:
        remaining = iter(tqdm(list(marks.requests(running.headers)), unit="request"))

        async def caller():
            count = 0
            for method, path, headers, body in remaining:
                url = httpx.URL(running.running.url, raw_path=path.encode())
                with contextlib.suppress(httpx.RemoteProtocolError):
                    await client.request(method, url, headers=list(headers), content=body)
                count += 1
            return count

        return sum(await asyncio.gather(*(caller() for _ in range(8))))


async def over_grpc(running):
    """Send calls one after the other; return how many."""
    key = [(name.lower(), value) for name, value in running.headers]
    async with grpc.aio.insecure_channel(f"127.0.0.1:{running.grpc_port}") as channel:
        for number, (method, sent, metadata, seconds) in enumerate(marks.calls(CALLS)):
            mine = [] if "authorization" in dict(metadata) or number % 10 == 0 else key
            with contextlib.suppress(grpc.aio.AioRpcError):
                call = channel.unary_unary(method)
                await call(sent, metadata=[*metadata, *mine], timeout=seconds or 10)
    return CALLS


def checked(running):
    """Send streams as Envoy does; return how many."""
    streams = list(marks.streams())
    with tempfile.NamedTemporaryFile("w") as file:
        json.dump(streams, file)
        file.flush()
        key = dict(running.headers)["Authorization"].removeprefix("Bearer ")
        for keys in ([key], ["zqv-key"]):
            ask("ext_proc", f"127.0.0.1:{running.grpc_port}", file.name, *keys)
    return 2 * len(streams)


def offline(folder):
    """Classify a marked table; only its output may keep a mark."""
    environ = environment(folder)
    registry = registry_of(folder)
    source, output = folder / "texts.csv", folder / "answers.csv"
    with source.open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["text"])
        table.writerows([[f"{marks.TEXT} {number}"] for number in range(400)] + [[""]])
    ran = subprocess.run(
        [
            *(sys.executable, "-m", "serving", "classify", "--registry", str(registry)),
            *("--model", "tone", "--input", str(source), "--output", str(output)),
        ],
        cwd=ROOT, env=clean_environ() | environ, capture_output=True, check=True,
    )  # fmt: skip
    files, searched = places.files_with_marks(folder, but=(source, output))
    found = files + (["what it printed"] if places.count_in(ran.stdout + ran.stderr) else [])
    searched = f"{searched} files, what it printed"
    return Row("`python -m serving classify`", "401 rows", searched, found)


def encrypted(folder):
    """Search a server whose text log is encrypted."""
    folder.mkdir()
    key = folder / "keys"
    key.write_bytes(Fernet.generate_key())
    settings = {"http_processes": 2, "text_log_keys": key}
    return served(folder, "text log, encrypted", consents=True, **settings)


PROGRAMS = {
    "server": partial(served, program="a server"),
    "processes": partial(served, program="with 2 HTTP processes", http_processes=2),
    "faulty": partial(served, program="with an engine that raises", fault="raise"),
    "encrypted": encrypted,
    "text-log": partial(served, program="text log", consents=True, text_log_s=LOGGED_S),
    "offline": offline,
}


if __name__ == "__main__":
    main()
