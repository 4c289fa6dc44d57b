import asyncio
import os
import signal
import socket
import subprocess
import sys

import httpx

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


async def received(sock):
    channel = await Channel.over(sock)
    messages = [message async for message in Inbox(channel).messages()]
    channel.close()
    await channel.closed()
    return messages
