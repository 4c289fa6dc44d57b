"""Try bundles in another process before this one loads them: what ends it is their refusal."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from queue import Empty, SimpleQueue
from threading import Lock, Thread
from typing import Any

from serving.bundles.bundle import Bundle, VariantKey, key
from serving.bundles.fingerprint import fingerprint
from serving.errors import BundleError, own_words
from serving.inference.engine import Engine, EngineName, Resources
from serving.inference.engine_selection import ENGINES, MakeEngine, reference
from serving.logs import log
from serving.runtime.retention import retain
from serving.settings import Settings
from serving.shortage import Shortage, is_shortage, tells_shortage

# A refusal may have been for want of memory or time, which another trial might find.
_REMEMBERED_S = 600.0
_MOST_WORDS = 300
_CHUNK_BYTES = 1 << 16
_KEPT_BYTES = 1 << 14
# A killed process that a file system holds up may not die; what waits must go on.
_DEATH_S = 5.0


@dataclass(frozen=True, slots=True)
class _Verdict:
    bundle: VariantKey
    files: frozenset[tuple[str, int, int]]
    refused: str
    until_s: float


class Trials:
    """Tries each version of each bundle once, in a process that lives from the first to `rest`.

    A trial of one engine may take `load_timeout_ms`, and a run in it `engine_timeout_ms` of CPU
    time.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._process: subprocess.Popen[bytes] | None = None
        self._ended = False
        self._lines: SimpleQueue[bytes] = SimpleQueue()
        self._verdicts: dict[tuple[Path, EngineName], _Verdict] = {}
        """The last one of each folder and engine."""
        self._one_at_a_time = Lock()
        self._words = _Words()

    def engines(self, bundle: Bundle, *, beside_traffic: bool) -> Mapping[EngineName, MakeEngine]:
        """Return the engines; one that a bundle fails on raises the reason when it is made.

        `beside_traffic` gives the trial a low priority.
        """
        requested = self._settings.engine
        first = reference(bundle) if requested == "auto" else requested
        others = [name for name in ENGINES if name != first] if requested == "auto" else []
        engines: dict[EngineName, MakeEngine] = {}
        for name in (first, *others):
            try:
                refused = self._refused(bundle, name, beside_traffic=beside_traffic)
            except Exception as error:
                if name == first or not is_shortage(error):
                    raise
                refused = own_words(error)
            if refused and name == first:
                raise BundleError(refused)
            engines[name] = _refusing(refused) if refused else ENGINES[name]
        return engines

    def rest(self) -> None:
        """End the process, unless a trial is running in it."""
        if self._one_at_a_time.acquire(blocking=False):
            try:
                self._kill()
            finally:
                self._one_at_a_time.release()

    def end(self) -> None:
        """End the process, and with it a trial that is running; the next ones are refused."""
        self._ended = True
        self._kill()

    def _refused(self, bundle: Bundle, name: EngineName, *, beside_traffic: bool) -> str:
        """Return why an engine must not load a bundle, "" if it may.

        A Shortage is raised, and not remembered.
        """
        tried = (bundle.folder, name)
        now = (key(bundle), fingerprint([bundle.folder]))
        known = self._verdicts.get(tried)
        if known and (known.bundle, known.files) == now and time.monotonic() < known.until_s:
            return known.refused
        with self._one_at_a_time:
            refused = self._try(bundle, name, beside_traffic=beside_traffic)
        until_s = time.monotonic() + _REMEMBERED_S if refused else float("inf")
        self._verdicts[tried] = _Verdict(*now, refused, until_s)
        return refused

    def forget(self, folders: Collection[Path]) -> None:
        """Forget the verdicts of all folders but these."""
        retain(self._verdicts, [(folder, name) for folder in folders for name in ENGINES])

    def _try(self, bundle: Bundle, name: EngineName, *, beside_traffic: bool) -> str:
        settings = self._settings
        load_s = settings.load_timeout_ms / 1e3
        process = self._started()
        trial = {
            "folder": str(bundle.folder.absolute()),
            "elsewhere": [(name, str(path.absolute())) for name, path in bundle.elsewhere],
            "engine": name,
            "device": settings.device,
            "gpu_memory_bytes": settings.gpu_memory_bytes,
            "max_batch_tokens": settings.max_batch_tokens,
            "load_s": load_s,
            "beside_traffic": beside_traffic,
            "run_s": settings.engine_timeout_ms / 1e3,
        }
        step = "its start"
        until_s = time.monotonic() + load_s
        try:
            assert process.stdin
            process.stdin.write(json.dumps(trial).encode() + b"\n")
            process.stdin.flush()
            while True:
                said: dict[str, Any] = json.loads(self._next_line(until_s) or b"{}")
                if "step" not in said:
                    break
                step = said["step"]
        except Empty:
            self._kill()
            return f"{step}: the trial took over {load_s:g} s (SIZEWISE_LOAD_TIMEOUT_MS)"
        except OSError:
            said = {}
        if not said:
            return self._cause_of_death(process, step)
        for warning in said.get("warnings", ()):
            family, variant, version = key(bundle)
            log(
                "suspicious bundle", model=family, variant=variant, version=version,
                engine=name, warning=warning,
            )  # fmt: skip
        refused = str(said.get("refused", ""))
        if said.get("short"):
            raise Shortage(refused)
        return refused

    def _started(self) -> "subprocess.Popen[bytes]":
        if self._ended:
            raise BundleError("the server is shutting down")
        if self._process is None or self._process.poll() is not None:
            self._lines = SimpleQueue()
            self._words = _Words()
            self._process = process = subprocess.Popen(
                [sys.executable, "-P", "-m", "serving.runtime.trial_process"],
                # This process's modules, not those that lie in the working folder.
                env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                start_new_session=True,  # a terminal's interrupt must reach only this process
            )
            args = (process, self._lines)
            reader = Thread(target=_read, args=args, name="trial", daemon=True)
            try:
                self._words.listen(process)
                reader.start()
            except RuntimeError:  # the machine has no thread left
                self._kill()
                assert process.stdout
                process.stdout.close()
                raise
        return self._process

    def _next_line(self, until_s: float) -> bytes:
        return self._lines.get(timeout=max(0.0, until_s - time.monotonic()))

    def _kill(self) -> None:
        process, self._process = self._process, None
        if process:
            process.kill()
            with suppress(subprocess.TimeoutExpired):
                process.wait(_DEATH_S)
            if process.stdin:
                with suppress(OSError):
                    process.stdin.close()

    def _cause_of_death(self, process: "subprocess.Popen[bytes]", step: str) -> str:
        try:
            status = process.wait(_DEATH_S)
        except subprocess.TimeoutExpired:
            self._kill()
            return f"{step} ended the process that tried it, which does not exit"
        if status == -signal.SIGXCPU:
            seconds = self._settings.engine_timeout_ms / 1e3
            return f"{step} took over {seconds:g} s of CPU time (SIZEWISE_ENGINE_TIMEOUT_MS)"
        name = signal.Signals(-status).name if status < 0 else f"exit status {status}"
        words = self._words.last()
        cause = f"{step} ended the process that tried it ({name}){': ' * bool(words)}{words}"
        if tells_shortage(words):
            raise Shortage(cause)
        return cause


class _Words:
    """What a process writes to stderr, of which the last is kept."""

    def __init__(self) -> None:
        self._kept = b""
        self._reader: Thread | None = None

    def listen(self, process: "subprocess.Popen[bytes]") -> None:
        """Read until the process ends, so that it never waits for a reader."""
        self._reader = Thread(target=self._read, args=(process,), name="trial", daemon=True)
        try:
            self._reader.start()
        except RuntimeError:
            assert process.stderr
            process.stderr.close()
            raise

    def last(self) -> str:
        """Return the last words of a process that has ended."""
        if self._reader:
            self._reader.join(_DEATH_S)
        return " ".join(self._kept.decode(errors="replace").split())[-_MOST_WORDS:]

    def _read(self, process: "subprocess.Popen[bytes]") -> None:
        assert process.stderr
        with process.stderr as stderr:
            while words := os.read(stderr.fileno(), _CHUNK_BYTES):
                self._kept = (self._kept + words)[-_KEPT_BYTES:]


def _read(process: "subprocess.Popen[bytes]", lines: "SimpleQueue[bytes]") -> None:
    """Hand over the lines of a process, and b"" when it has ended."""
    assert process.stdout
    try:
        with process.stdout as stdout:
            for line in stdout:
                lines.put(line)
    finally:
        lines.put(b"")


def _refusing(reason: str) -> MakeEngine:
    def make(_bundle: Bundle, _resources: Resources) -> Engine:
        raise BundleError(reason)

    return make
