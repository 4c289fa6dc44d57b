"""Load and probe bundles in a process that may die of them, started by trial.py.

A graph can end the process that loads it: by a crash in native code, an endless loop, or more
memory than the machine has. Each line of standard input is a trial; what is about to run, and the
verdict, are written to standard output.
"""

import json
import os
import resource
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

from serving.bundles.bundle import read_bundle
from serving.errors import BundleError, StartError, failures
from serving.inference.engine import Engine, Resources
from serving.inference.engine_selection import ENGINES
from serving.inference.inputs import Item
from serving.inference.probes import probe
from serving.inference.tokenizer import open_tokenizer
from serving.process_exit import end
from serving.shortage import is_shortage

_LOW_PRIORITY = 10
_OFTEN_KILLED = "1000"
# What is left to the server and to other programs.
_MEMORY_SHARE = 0.9
_GROWTH = 4
_FEWEST_TOKENS = 4
_USUAL_TOKENS = 32
# As in warm-up, which runs no larger batch than the first that takes this long.
_LONGEST_BATCH_S = 0.25


def main() -> None:
    """Try bundles until standard input ends."""
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "w", buffering=1)
    # Libraries print too.
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    with suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text(_OFTEN_KILLED)
    for line in sys.stdin:
        trial = json.loads(line)

        def tell(**fields: object) -> None:
            print(json.dumps(fields), file=answers)

        try:
            with failures(BundleError, "the trial"):
                warnings = _try(trial, lambda step: tell(step=step))
            tell(warnings=warnings)
        except StartError as error:
            tell(refused=error.detail, short=is_shortage(error))


def _try(trial: dict[str, Any], tell: Callable[[str], None]) -> list[str]:
    """Load, probe and fill an engine; return the warnings. Raises StartError."""
    if trial["beside_traffic"]:
        # Without privileges it can only be lowered.
        priority = max(_LOW_PRIORITY, os.getpriority(os.PRIO_PROCESS, 0))
        os.setpriority(os.PRIO_PROCESS, 0, priority)
    if trial["device"] == "cpu":
        _limit_memory()

    def step(what: str, limit_s: float = trial["run_s"]) -> None:
        _limit_cpu(limit_s)
        tell(what)

    step("tokenizer.json")
    elsewhere = tuple((name, Path(path)) for name, path in trial["elsewhere"])
    bundle = read_bundle(Path(trial["folder"]), elsewhere)
    with failures(BundleError, "tokenizer.json"):
        tokenizer = open_tokenizer(bundle)
    step("loading the graph", trial["load_s"])
    resources = Resources(
        trial["device"], threads=1, slots=1, gpu_memory_bytes=trial["gpu_memory_bytes"]
    )
    with failures(BundleError, bundle.model_path.name):
        engine = ENGINES[trial["engine"]](bundle, resources)
    warnings = probe(engine, tokenizer, bundle.manifest, thorough=False, on_step=step)
    length = min(_USUAL_TOKENS, bundle.manifest.max_length)
    _fill(engine, engine.example(length), trial["max_batch_tokens"], step)
    return warnings


def _fill(engine: Engine, text: Item, max_batch_tokens: int, step: Callable[[str], None]) -> None:
    """Run batches as large as warm-up will."""
    tokens, seconds = _FEWEST_TOKENS, 0.0
    while tokens <= max_batch_tokens and seconds * _GROWTH <= _LONGEST_BATCH_S:
        what = f"a batch of {tokens} tokens"
        step(what)
        began_s = time.perf_counter()
        with failures(BundleError, what):
            engine.run([text] * max(1, tokens // text.length))
        seconds = time.perf_counter() - began_s
        tokens *= _GROWTH


def _limit_cpu(limit_s: float) -> None:
    """Let this process use so many more seconds of CPU time; SIGXCPU ends it after them."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    until_s = int(used.ru_utime + used.ru_stime + limit_s) + 1
    _, most_s = resource.getrlimit(resource.RLIMIT_CPU)
    resource.setrlimit(resource.RLIMIT_CPU, (_at_most(until_s, most_s), most_s))


def _limit_memory() -> None:
    """Let this process allocate most of the memory that is available, and no more.

    Where that is not known, such as on macOS, there is no limit.
    """
    used, available = _bytes_of("/proc/self/status", "VmData:"), available_bytes()
    if used is None or available is None:
        return
    limit = used + int(_MEMORY_SHARE * available)
    _, most = resource.getrlimit(resource.RLIMIT_DATA)
    resource.setrlimit(resource.RLIMIT_DATA, (_at_most(limit, most), most))


def _at_most(limit: int, hard: int) -> int:
    """Return the limit, or the hard one that whoever started the server has set below it."""
    return limit if hard == resource.RLIM_INFINITY else min(limit, hard)


def _bytes_of(path: str, name: str) -> int | None:
    """Return the bytes that a file of /proc states; None if it does not."""
    with suppress(OSError, ValueError, IndexError):
        for line in Path(path).read_text().splitlines():
            if line.startswith(name):
                return int(line.split()[1]) * 1024
    return None


def available_bytes() -> int | None:
    """Return the memory that the machine, or this container's limit, leaves; None if unknown."""
    available = _bytes_of("/proc/meminfo", "MemAvailable:")
    if available is None:
        return None
    with suppress(OSError, ValueError):  # no cgroup v2, or no limit
        group = Path("/sys/fs/cgroup")
        limit = int((group / "memory.max").read_text())
        used = int((group / "memory.current").read_text())
        statistics = (group / "memory.stat").read_text().splitlines()
        (cached,) = (int(line.split()[1]) for line in statistics if "inactive_file " in line)
        available = min(available, limit - used + cached)
    return max(0, available)


if __name__ == "__main__":
    main()
    end(0)
