import asyncio
import os
import signal
import socket
import subprocess
import sys

import httpx
import pytest

from serving.runtime.ipc import Channel
from serving.server.listener import open_listener
from tests.support.channels import Inbox
from tests.support.processes import ROOT, clean_environ, free_port

SECONDS = 30


def test_the_last_counts_of_an_http_process_are_sent_before_it_ends(tmp_path):
    """The engine process is silent here, so nothing but the end makes it send them."""
    port = free_port()
    environ = {"SIZEWISE_REGISTRY": str(tmp_path), "SIZEWISE_SHUTDOWN_DELAY_MS": "0"}
    ours, theirs = socket.socketpair()
    with (
        open_listener("127.0.0.1", port) as listener,
        theirs,
        subprocess.Popen(
            [
                *(sys.executable, "-m", "serving.server.frontend"),
                *(str(listener.fileno()), str(theirs.fileno())),
            ],
            cwd=ROOT,
            env=clean_environ() | environ,
            pass_fds=(listener.fileno(), theirs.fileno()),
        ) as process,
    ):
        theirs.close()
        answers = [
            httpx.get(f"http://127.0.0.1:{port}/health/live", timeout=SECONDS) for _ in range(3)
        ]
        os.kill(process.pid, signal.SIGTERM)
        status = process.wait(SECONDS)

    messages = asyncio.run(received(ours))
    sums = [rest[0] for kind, *rest in messages if kind == "sums"]
    assert ("started",) in messages
    assert (status, [answer.status_code for answer in answers]) == (0, [200] * 3)
    assert sums[0] == {}  # says that the process has started
    (row,) = (row for each in sums[1:] for row in each["requests"].values())
    assert sum(row[:-1]) == 3


IMPATIENT = (
    "import asyncio, socket, sys; from serving.server import frontend; frontend._CURRENT_S = 0.1; "
    "asyncio.run(frontend.main(*[socket.socket(fileno=int(each)) for each in sys.argv[1:]]))"
)


@pytest.mark.parametrize(("served", "reason"), [(False, "starting"), (True, "not_ready")])
async def test_only_the_first_processes_refuse_requests_because_the_server_starts(
    tmp_path, served, reason
):
    """A process that replaces another one may lack the models for longer than it waits for them."""
    port = free_port()
    environ = {"SIZEWISE_REGISTRY": str(tmp_path), "SIZEWISE_SHUTDOWN_DELAY_MS": "0"}
    ours, theirs = socket.socketpair()
    with open_listener("127.0.0.1", port) as listener, theirs:
        ends = (listener.fileno(), theirs.fileno())
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", IMPATIENT, *map(str, ends)),
            cwd=ROOT,
            env=clean_environ() | environ,
            pass_fds=ends,
        )
        theirs.close()
        channel = await Channel.over(ours)
        inbox = Inbox(channel)
        channel.send("greeting", served)
        async with httpx.AsyncClient(timeout=SECONDS) as client:
            url = f"http://127.0.0.1:{port}/v1/classify"
            answer = await client.post(url, json={"texts": ["good"]})
        process.terminate()
        messages = [message async for message in inbox.messages()]
        status = await asyncio.wait_for(process.wait(), SECONDS)

    refused = [
        name
        for kind, *rest in messages
        if kind == "sums"
        for (name,) in rest[0].get("rejected", {})
    ]
    assert (answer.status_code, status) == (503, 0)
    assert refused == [reason], messages


async def received(sock):
    channel = await Channel.over(sock)
    messages = [message async for message in Inbox(channel).messages()]
    channel.close()
    await channel.closed()
    return messages
