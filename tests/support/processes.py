"""Real server processes for the tests."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import httpx

ROOT = Path(__file__).parents[2]
FIRST_PORT, LAST_PORT = 12_000, 32_000
SETTINGS: dict[str, object] = {}
"""What every server gets unless a test says otherwise."""
# Lets the same text be work each time that it is sent.
FRESH = {"Cache-Control": "no-cache"}


@dataclass
class Running:
    process: subprocess.Popen
    url: str
    log_path: Path

    def log(self):
        """What it has written, once a living server has written nothing for a moment.

        Its lines are written by a thread of their own, after the answers. Under load it is never
        still for long: whoever measures times then reads `log_path`.
        """
        until_s = time.monotonic() + 1
        said = self.log_path.read_text()
        while self.process.poll() is None and time.monotonic() < until_s:
            time.sleep(0.1)
            before, said = said, self.log_path.read_text()
            if said == before:
                break
        return said

    def classify(self, body, **kwargs):
        try:
            return httpx.post(f"{self.url}/v1/classify", json=body, timeout=30, **kwargs)
        except httpx.TimeoutException as error:
            error.add_note(f"the server's log:\n{self.log()[-20_000:]}")
            raise

    def metrics(self):
        return httpx.get(f"{self.url}/metrics", timeout=30).text

    def stop(self):
        """The exit status after SIGTERM."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(30)


def _ports():
    """Ports of this test worker, none twice: below those that the kernel gives to clients."""
    workers = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    share = (LAST_PORT - FIRST_PORT) // workers
    first = FIRST_PORT + worker * share
    begin = os.getpid() * 97 % share  # two runs on one machine seldom meet
    while True:
        for offset in range(share):
            yield first + (begin + offset) % share


_PORTS = _ports()


def free_port():
    for port in _PORTS:
        with socket.socket() as sock, contextlib.suppress(OSError):
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            sock.bind(("127.0.0.1", port))
            return port
    raise AssertionError("unreachable")


def clean_environ():
    return {k: v for k, v in os.environ.items() if not k.startswith("SIZEWISE_")}


@contextlib.contextmanager
def serving(
    registry,
    *,
    wait_ready=True,
    program="serving",
    environ=(),
    output=None,
    apart=False,
    prefix=(),
    **settings,
):
    """A server process on a free port; `settings` are SIZEWISE_ names in lower case.

    `output` takes the place of the log; `prefix` is a command that becomes the one after it. One
    that is `apart` gets no signal of the terminal's.
    """
    port = settings.pop("port", None) or free_port()
    given = {"registry": registry, "port": port, **SETTINGS, **settings}
    variables = {f"SIZEWISE_{name.upper()}": str(value) for name, value in given.items()}
    with tempfile.TemporaryDirectory() as folder:
        log_path = Path(folder) / "log"
        with log_path.open("w") as log:
            process = subprocess.Popen(
                [*prefix, sys.executable, "-m", program],
                cwd=ROOT,
                env=clean_environ() | variables | dict(environ),
                stdout=output or log,
                stderr=output or log,
                start_new_session=apart,
            )
        running = Running(process, f"http://127.0.0.1:{port}", log_path)
        try:
            if wait_ready:
                wait_until_ready(running)
            yield running
        finally:
            if process.poll() is None:
                process.terminate()
                try:
                    process.wait(30)
                except subprocess.TimeoutExpired:
                    process.kill()
                    process.wait()


def wait_until_accepting(port, seconds=30):
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port)):
            return
        time.sleep(0.05)
    raise AssertionError(f"nothing accepts connections on port {port}")


def wait_until_ready(running, seconds=60):
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        with contextlib.suppress(httpx.TransportError):
            if httpx.get(f"{running.url}/health/ready").status_code == 200:
                return
        if running.process.poll() is not None:
            break
        time.sleep(0.05)
    raise AssertionError(f"the server did not become ready:\n{running.log()}")
