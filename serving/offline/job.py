"""Classify a file of texts of any size, resumable after a kill."""

import fcntl
import json
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

from serving.bundles.bundle import Bundle, Manifest, file_sha256, verify
from serving.bundles.files import sync
from serving.bundles.ranking import best
from serving.bundles.registry import read_registry
from serving.bundles.signatures import read_trusted_keys
from serving.bundles.windows import WINDOWS_NAME, Long, Windows, windows_beside
from serving.errors import StartError
from serving.inference.engine import EngineName
from serving.inference.engine_selection import ENGINES, MakeEngine
from serving.inference.tokenizer import open_tokenizer
from serving.inference.tuned_choice import kept_tuning, measured, resources_of, restored
from serving.inference.windows import windowing_of
from serving.offline.bulk_classifier import Bulk, LengthLimits
from serving.offline.columns import Columns
from serving.offline.progress import Progress
from serving.offline.tables import CHUNK_BYTES, CHUNK_ROWS, Added, Chunk, Table, Values, open_table
from serving.settings import Settings
from serving.variants.selection import AUTO

# A job has no latency to protect, so its batches are larger than the server's.
_LEAST_BATCH_TOKENS = 512
_STATE = "job.json"
# While one chunk is written or ends, the slots work on the other.
_CHUNKS_AT_ONCE = 2


@dataclass(frozen=True, slots=True)
class Job:
    """What to classify, and how; `prefix` starts the names of the added columns."""

    input: Path
    output: Path
    text: str
    text_pair: str | None
    model: str | None
    variant: str
    long: Long | None
    prefix: str

    @property
    def parts(self) -> Path:
        """The folder of finished parts, next to the output and on the same disk."""
        return self.output.with_name(self.output.name + ".parts")


def classify(
    job: Job,
    settings: Settings,
    screen: TextIO,
    *,
    restart: bool = False,
    engines: Mapping[EngineName, MakeEngine] = ENGINES,
) -> bool:
    """Write the output, resuming a stopped run of the same job.

    Returns False if there were texts and none could be classified. The input is read once up
    front, so a bad row stops the job at its start; at most three chunks are held in memory. A
    resumed run keeps the engine, layout and token budget, and so the batches, of the first.
    Raises StartError or EngineFailed, and OSError if the disk is full.
    """
    bundle = _bundle(job, settings)
    manifest = bundle.manifest
    windows = windows_beside(bundle)
    columns = Columns(bundle, windows, job.long or windows.long)
    added: Added = {job.prefix + name: kind for name, kind in columns.kinds.items()}
    texts = (job.text, job.text_pair) if job.text_pair else (job.text,)
    table = open_table(job.input, job.output, texts, added, manifest.labels)
    with _alone(job, restart):
        state = _resumed(job, manifest, columns, windows, settings)
        verify(bundle)
        tokenizer = open_tokenizer(bundle)
        assert tokenizer
        if "rows" not in state:
            state["rows"] = sum(len(chunk.texts) for chunk in table.chunks())
            loading = bundle, tokenizer, settings
            tuning = kept_tuning(bundle, settings)
            tuned = restored(tuning, *loading, engines=engines) if tuning else None
            chosen = tuned or measured(*loading, engines=engines)
            state["engine"] = chosen.name
            state["budget_tokens"] = max(_LEAST_BATCH_TOKENS, chosen.lane.max_batch_tokens)
            state["packed"] = chosen.lane.packed
            _write(job.parts / _STATE, lambda path: path.write_text(json.dumps(state, indent=2)))
        # Reloaded without the copy for single texts, whose last bits may differ.
        engine = engines[state["engine"]](bundle, resources_of(settings))
        if not state.get("packed", True):
            engine = engine.unpacked()
        began_s = time.monotonic()
        kept = sum(part.texts for part in _finished(job))
        with ThreadPoolExecutor(engine.slots, "slot") as slots:
            limits = _limits(job, manifest, windows, settings)
            bulk = Bulk(
                manifest, tokenizer, engine, slots,
                budget_tokens=min(state["budget_tokens"], settings.max_batch_tokens),
                limits=limits,
            )  # fmt: skip
            progress = Progress(state["rows"], kept, screen, time.monotonic)
            _run(job, table, lambda chunk: _rows(chunk, bulk, columns, job, progress), slots)
        parts = _finished(job)
        if file_sha256(job.input) != state["input"]:
            raise StartError(f"{job.input} changed while it was read: run again with --restart")
        _write(job.output, lambda path: table.merge([part.path for part in parts], path))
    failed = sum(part.failed for part in parts)
    _report(job, screen, state["rows"], kept, failed, time.monotonic() - began_s)
    return not state["rows"] or failed < state["rows"]


def _bundle(job: Job, settings: Settings) -> Bundle:
    families: dict[str, list[Bundle]] = {}
    trusted = read_trusted_keys(settings.trusted_keys)
    for folder in settings.registry:
        families = read_registry(folder, settings.variants, trusted) | families
    name = job.model or next(iter(families))
    if name not in families or (job.model is None and len(families) > 1):
        raise StartError(f"name one of the models {', '.join(sorted(families))} with --model")
    bundles = {each.manifest.variant: each for each in families[name]}
    chosen = best(each.manifest for each in families[name])
    bundle = bundles.get(chosen if job.variant == AUTO else job.variant)
    if not bundle:
        raise StartError(f"there is no variant {job.variant!r}: name one of {sorted(bundles)}")
    if bundle.manifest.tensors:
        raise StartError(f"{name} reads tensors, not text: ask a server by the V2 protocol")
    if bundle.manifest.pairs != (job.text_pair is not None):
        does = (
            "reads pairs of texts: name" if bundle.manifest.pairs else "reads one text: leave out"
        )
        raise StartError(f"{name} {does} --text-pair")
    return bundle


def _limits(job: Job, manifest: Manifest, windows: Windows, settings: Settings) -> LengthLimits:
    long = job.long or windows.long
    windowing = windowing_of(windows, manifest, settings.max_windows) if long == "windows" else None
    return LengthLimits(settings.max_text_chars, long == "truncate", windowing)


@contextmanager
def _alone(job: Job, restart: bool) -> Iterator[None]:
    """Lock the folder of parts and remove it at the end; the kernel unlocks it if the job dies."""
    if not job.output.parent.is_dir():
        raise StartError(f"{job.output.parent} is not a folder: make it first")
    job.parts.mkdir(exist_ok=True)
    with (job.parts / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise StartError(f"another job writes {job.output}: wait for it") from error
        if restart:
            (job.parts / _STATE).unlink(missing_ok=True)
        begun = (job.parts / _STATE).exists()
        for left in () if begun else job.parts.glob("*.part"):
            left.unlink()
        try:
            if job.output.exists() and not (begun or restart):
                raise StartError(f"{job.output} is there already: use --restart to replace it")
            yield
            # Remove first what marks the job as resumable.
            (job.parts / _STATE).unlink()
        finally:
            if not (job.parts / _STATE).exists():
                shutil.rmtree(job.parts, ignore_errors=True)


def _resumed(
    job: Job, manifest: Manifest, columns: Columns, windows: Windows, settings: Settings
) -> dict[str, Any]:
    """Everything that determines an answer, with the measurements of a stopped run of the job."""
    state: dict[str, Any] = {
        "input": file_sha256(job.input),
        "--text": job.text,
        "--text-pair": job.text_pair,
        "model": manifest.family,
        "variant": manifest.variant,
        "version": manifest.version,
        "--long": job.long,
        WINDOWS_NAME: windows.model_dump(),
        "decisions": [columns.thresholds, columns.decides_long],
        "--prefix": job.prefix,
        "SIZEWISE_MAX_TEXT_CHARS": settings.max_text_chars,
        "SIZEWISE_MAX_WINDOWS": settings.max_windows,
        "SIZEWISE_DEVICE": settings.device,
        "SIZEWISE_ENGINE": settings.engine,
        "size of chunks": [CHUNK_ROWS, CHUNK_BYTES],
    }
    path = job.parts / _STATE
    if not path.exists():
        return state
    known: dict[str, Any] = json.loads(path.read_text())
    if changed := [name for name in state if known.get(name) != state[name]]:
        raise StartError(
            f"{job.parts} was begun with another {' and '.join(changed)}: "
            "go back to that, or begin anew with --restart"
        )
    return known


@dataclass(frozen=True, slots=True, order=True)
class _Part:
    """A finished chunk; its name holds its number, its texts and its failures."""

    number: int
    texts: int
    failed: int
    path: Path


def _finished(job: Job) -> list[_Part]:
    """Return the finished parts in input order."""
    named = ((path.name.split("."), path) for path in job.parts.glob("*.part"))
    return sorted(_Part(int(name[0]), int(name[1]), int(name[2]), path) for name, path in named)


def _run(
    job: Job, table: Table, rows_of: Callable[[Chunk], list[Values]], slots: ThreadPoolExecutor
) -> None:
    """Make the missing parts. No work outlives the call."""
    error = job.prefix + "error"

    def make(number: int, chunk: Chunk) -> None:
        rows = rows_of(chunk)
        failed = sum(row[error] is not None for row in rows)
        name = f"{number:08}.{len(rows)}.{failed}.part"
        _write(job.parts / name, lambda path: table.write(chunk, rows, path))

    there = {part.number for part in _finished(job)}
    making: set[Future[None]] = set()
    with ThreadPoolExecutor(_CHUNKS_AT_ONCE, "chunk") as chunks:
        try:
            for number, chunk in enumerate(table.chunks()):
                if number in there:
                    continue
                if len(making) == _CHUNKS_AT_ONCE:
                    made, making = wait(making, return_when=FIRST_COMPLETED)
                    for future in made:
                        future.result()
                making.add(chunks.submit(make, number, chunk))
            for future in making:
                future.result()
        except BaseException:
            for pool in (chunks, slots):
                pool.shutdown(wait=False, cancel_futures=True)
            raise


def _rows(chunk: Chunk, bulk: Bulk, columns: Columns, job: Job, progress: Progress) -> list[Values]:
    """Return the added columns of one chunk."""
    rows = map(columns.values, bulk.answers(chunk.texts, progress.add))
    return [{job.prefix + name: value for name, value in each.items()} for each in rows]


def _write(path: Path, fill: Callable[[Path], object]) -> None:
    """Write a file that is complete or absent, even after a power cut."""
    aside = path.with_name(path.name + ".tmp")
    fill(aside)
    sync(aside)
    aside.replace(path)
    sync(path.parent)


def _report(  # noqa: PLR0917
    job: Job, screen: TextIO, texts: int, kept: int, failed: int, seconds: float
) -> None:
    rate = (texts - kept) / seconds
    before = f" ({kept:,} of them by a run before)" if kept else ""
    lines = [f"{texts:,} texts{before}, {rate:,.0f} texts/s in {seconds:.1f} s after loading."]
    if failed:
        lines.append(f"{failed:,} could not be classified: column {job.prefix}error says why.")
    lines.append(f"Next: open {job.output}, columns {job.prefix}label and {job.prefix}score.")
    print(*lines, sep="\n", file=screen, flush=True)
