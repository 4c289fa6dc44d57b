"""Start and stop a server for a measurement, and query it over HTTP."""

import json
import os
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.request import ProxyHandler, Request, build_opener

from loadtest.measure.subprocesses import last_lines, python_subprocess

READY_TIMEOUT_S = 180.0
_POLL_S = 0.05

_direct = build_opener(ProxyHandler({}))


class LoadTestError(Exception):
    """The measurement cannot continue; the message is one sentence with the remedy."""


@dataclass(frozen=True)
class Server:
    """A ready server; `ready_s` and `pid` are None if it was not started here."""

    url: str
    ready_s: float | None = None
    pid: int | None = None

    def peak_bytes(self) -> int | None:
        """Return the peak memory of its process so far (VmHWM), in bytes; None without /proc."""
        if self.pid is None or not Path("/proc/self/status").is_file():
            return None
        status = Path(f"/proc/{self.pid}/status").read_text()
        fields = dict(line.split(":", 1) for line in status.splitlines())
        return 1024 * int(fields["VmHWM"].split()[0])


@contextmanager
def running_server(
    registry: Path, log: Path, settings: Mapping[str, str] | None = None
) -> Iterator[Server]:
    """Start `python -m serving` on a registry, wait until it is ready, and stop it on exit.

    `settings` are environment variables; its output is appended to `log`.
    Raise LoadTestError if it ends early or is not ready within READY_TIMEOUT_S.
    """
    port = _free_port()
    url = f"http://127.0.0.1:{port}"
    environment = {
        **os.environ,
        **(settings or {}),
        "SIZEWISE_HOST": "127.0.0.1",
        "SIZEWISE_PORT": str(port),
        "SIZEWISE_REGISTRY": str(registry),
    }
    started_s = time.monotonic()
    with python_subprocess(["-m", "serving"], log, environment) as process:
        _wait_until_ready(process, url, log)
        yield Server(url, time.monotonic() - started_s, process.pid)


def request_json(url: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
    """Return the JSON answer to a GET, or to a POST if there is a body.

    Raise LoadTestError with the server's own words if the status is not 200.
    """
    data = json.dumps(body).encode() if body is not None else None
    headers = {"Content-Type": "application/json"}
    if api_key := os.environ.get("SIZEWISE_API_KEY"):
        headers["Authorization"] = f"Bearer {api_key}"
    request = Request(url, data=data, headers=headers)  # noqa: S310 - __main__ accepts only http(s)
    try:
        with _direct.open(request, timeout=30.0) as response:
            answer: dict[str, Any] = json.load(response)
            return answer
    except HTTPError as error:
        answered = error.read(500).decode(errors="replace")
        raise LoadTestError(f"{url} answered {error.code}: {answered}") from error
    except (URLError, OSError, ValueError) as error:
        raise LoadTestError(f"{url} gave no answer: {error}; see the server's log") from error


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _wait_until_ready(process: subprocess.Popen[bytes], url: str, log: Path) -> None:
    deadline_s = time.monotonic() + READY_TIMEOUT_S
    while time.monotonic() < deadline_s:
        if process.poll() is not None:
            status = process.returncode
            raise LoadTestError(f"the server ended with status {status}: {last_lines(log)}")
        try:
            with _direct.open(f"{url}/health/ready", timeout=5.0):
                return
        except OSError:
            time.sleep(_POLL_S)
    raise LoadTestError(f"the server was not ready after {READY_TIMEOUT_S:.0f} s: see {log}")
