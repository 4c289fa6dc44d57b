"""The programs that a measurement starts: each ends when the measurement does.

It does not know which programs they are.
"""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

STOP_BOUND_S = 45.0


@contextmanager
def python_subprocess(
    arguments: list[str], log: Path, environment: Mapping[str, str] = os.environ
) -> Iterator[subprocess.Popen[bytes]]:
    """Runs Python with these arguments; its output is added to `log`.

    On leaving it gets SIGTERM if it still runs, and SIGKILL after STOP_BOUND_S.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    process = None
    with log.open("ab") as output:
        try:
            with _sigterm_deferred():
                process = subprocess.Popen(
                    [sys.executable, *arguments],
                    env=environment,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                )
            yield process
        finally:
            if process is not None:
                _stop(process)


def last_lines(log: Path) -> str:
    """The last three lines of a log, on one line."""
    return " / ".join(log.read_text(errors="replace").splitlines()[-3:])


def exit_on_sigterm() -> None:
    """Makes SIGTERM unwind this process, so that no child outlives it."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))


@contextmanager
def _sigterm_deferred() -> Iterator[None]:
    """Holds SIGTERM back: while Popen runs, the child exists before anyone can stop it."""
    held: list[int] = []
    before = signal.signal(signal.SIGTERM, lambda number, _: held.append(number))
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
        for number in held:
            signal.raise_signal(number)


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(STOP_BOUND_S)
    except subprocess.TimeoutExpired:
        print(f"{process.args!r} still ran {STOP_BOUND_S:g} s after SIGTERM: killed.", flush=True)
        process.kill()
        process.wait()
