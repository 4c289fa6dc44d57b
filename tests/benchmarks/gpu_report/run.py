"""Run parts within a budget, each in a process of its own, and keep what each has found."""

import contextlib
import ctypes
import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

from tests.benchmarks.gpu_report.parts import ROOT

END_S = 10
POLL_S = 0.1
LINE_EVERY_S = 15
_PR_SET_PDEATHSIG = 1
_LIBC = ctypes.CDLL(None)


@dataclass
class Ended:
    """How a part ended: `done`, `stopped` at its limit, or `failed`."""

    state: str
    seconds: float
    result: dict = field(default_factory=dict)
    reason: str = ""


def run(part, limit_s, logs, tell=lambda _seconds: None):
    """Run a part for at most `limit_s`. Its standard error becomes `logs`/NAME.log."""
    logs.mkdir(parents=True, exist_ok=True)
    stem = logs / part.name.replace(" ", "-")
    out, log = stem.with_suffix(".out"), stem.with_suffix(".log")
    began_s = time.monotonic()
    with out.open("wb") as stdout, log.open("wb") as stderr:
        process = subprocess.Popen(
            part.command, cwd=ROOT, stdout=stdout, stderr=stderr, start_new_session=True,
            preexec_fn=_end_with_parent,  # noqa: PLW1509 - this process has one thread
        )  # fmt: skip
        try:
            timed_out = not _wait(process, began_s + limit_s, tell)
        finally:
            _end(process)
    seconds, result = time.monotonic() - began_s, _read(out)
    if timed_out:
        return Ended("stopped", seconds, result, f"stopped at its limit of {limit_s:.0f} s")
    if process.returncode:
        last = " / ".join((out.read_text() + log.read_text()).splitlines()[-2:])
        reason = f"status {process.returncode}: {last[-400:]} (see {log.name})"
        return Ended("failed", seconds, result, reason)
    return Ended("done", seconds, result)


def _end_with_parent():
    """Be told to end when the report is killed, so that nothing measures beside the next try."""
    _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


def _wait(process, until_s, tell):
    """Whether the process ended before `until_s`."""
    began_s = time.monotonic()
    while process.poll() is None:
        now_s = time.monotonic()
        if now_s > until_s:
            return False
        tell(now_s - began_s)
        time.sleep(POLL_S)
    return True


def _end(process):
    """End a part that still runs, and whatever it would leave running."""
    if process.poll() is not None:
        return
    started = _descendants(process.pid)
    process.terminate()
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(END_S)
    for pid in [process.pid, *started]:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    process.wait()


def _descendants(pid):
    """The processes below `pid`, some of which may be in sessions of their own."""
    found = []
    for children in Path(f"/proc/{pid}/task").glob("*/children"):
        with contextlib.suppress(OSError):
            for child in map(int, children.read_text().split()):
                found += [child, *_descendants(child)]
    return found


def _read(out):
    """The JSON objects among a program's lines, joined; a half-written one is left out."""
    found = {}
    for line in out.read_text(errors="replace").splitlines():
        with contextlib.suppress(ValueError):
            if line.startswith("{"):
                found |= json.loads(line)
    return found


class Progress:
    """A line that counts seconds on a terminal; elsewhere a line at most every 15 s."""

    def __init__(self, label, limit_s, stream=sys.stderr):
        self._label, self._limit_s, self._stream = label, limit_s, stream
        self._live = stream.isatty()
        self._next_s = 0.0 if self._live else LINE_EVERY_S

    def begin(self):
        if not self._live:
            self._stream.write(f"{self._label}: at most {self._limit_s:.0f} s\n")
            self._stream.flush()

    def tell(self, seconds):
        if seconds < self._next_s:
            return
        self._next_s = seconds + (1.0 if self._live else LINE_EVERY_S)
        text = f"{self._label}: {seconds:.0f} of at most {self._limit_s:.0f} s"
        self._stream.write(f"\r{text}" if self._live else f"{text}\n")
        self._stream.flush()

    def end(self, text):
        self._stream.write(f"\r{self._label}: {text}\033[K\n" if self._live
                           else f"{self._label}: {text}\n")  # fmt: skip
        self._stream.flush()
