"""Subprocesses that end when the measurement does."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

STOP_TIMEOUT_S = 45.0
# With same_imports: a subprocess finds this process's modules, not those in the working folder.
PYTHON = (sys.executable, "-P")


def same_imports(environment: Mapping[str, str] = os.environ) -> dict[str, str]:
    """Return an environment in which PYTHON looks for modules where this process does."""
    first = filter(None, [environment.get("PYTHONPATH")])
    return {**environment, "PYTHONPATH": os.pathsep.join([*first, *sys.path])}


@contextmanager
def python_subprocess(
    arguments: list[str], log: Path, environment: Mapping[str, str] = os.environ
) -> Iterator[subprocess.Popen[bytes]]:
    """Run Python with these arguments and append its output to `log`.

    On exit, send SIGTERM if it still runs, then SIGKILL after STOP_TIMEOUT_S.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    process = None
    with log.open("ab") as output:
        try:
            with sigterm_deferred():
                process = subprocess.Popen(
                    [*PYTHON, *arguments],
                    env=same_imports(environment),
                    stdout=output,
                    stderr=subprocess.STDOUT,
                )
            yield process
        finally:
            if process is not None:
                _stop(process)


def last_lines(log: Path) -> str:
    """Return the last three lines of a log, joined into one."""
    return " / ".join(log.read_text(errors="replace").splitlines()[-3:])


def exit_on_sigterm() -> None:
    """Make SIGTERM unwind this process, so that no subprocess outlives it."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))


@contextmanager
def sigterm_deferred() -> Iterator[None]:
    """Defer SIGTERM during Popen, when a subprocess may run that nobody could stop yet."""
    deferred: list[int] = []
    before = signal.signal(signal.SIGTERM, lambda number, _: deferred.append(number))
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
        for number in deferred:
            signal.raise_signal(number)


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(STOP_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        print(
            f"{process.args!r} did not stop within {STOP_TIMEOUT_S:g} s of SIGTERM: killed.",
            flush=True,
        )
        process.kill()
        process.wait()
