"""Serves the folder of one exported model, as others made it, as a family of one variant."""

import atexit
import re
import shutil
import stat
import tempfile
import weakref
from contextlib import suppress
from dataclasses import replace
from functools import cache
from pathlib import Path

from serving.bundles.bundle import MANIFEST_NAME, Bundle, read_bundle
from serving.bundles.exported import find_source, folders_of, read_exported
from serving.bundles.signatures import TrustedKeys
from serving.logs import log

_LONGEST_NAME = 63
_UNNAMED = "model"
State = frozenset[tuple[str, int, int]]
_latest: dict[Path, tuple[State, Bundle]] = {}


def read_as_family(path: Path, trusted: TrustedKeys | None = None) -> Bundle:
    """Read a Hugging Face folder with an ONNX graph, or such a graph, as a bundle of its name.

    The files stay where they are; those that a bundle has in another form are made in a temporary
    folder, which is removed when nobody has the bundle any more, or when this process ends.
    Raises BundleError as read_exported does, or if none of the `trusted` keys has signed it.
    """
    if trusted or (path / MANIFEST_NAME).is_file():
        bundle = read_bundle(path, trusted=trusted)
        return replace(bundle, elsewhere=tuple((n, path / n) for n in bundle.manifest.files))
    return _read(path, state_of(path))


def state_of(path: Path) -> State:
    """Return the files that may belong to the model, with their times of change and sizes."""
    folders = folders_of(path) if path.is_file() else [path, path / "onnx"]
    found = set()
    for folder in folders:
        with suppress(OSError):  # what cannot be read is not part of it
            for each in folder.iterdir():
                with suppress(OSError):  # such as a link that leads nowhere
                    status = each.stat()
                    if not stat.S_ISDIR(status.st_mode):
                        found.add((str(each), status.st_mtime_ns, status.st_size))
    return frozenset(found)


def _read(path: Path, state: State) -> Bundle:
    """Read it once for each state of its files: hashing a large graph takes seconds."""
    known = _latest.get(path)
    if known and known[0] == state:
        return known[1]
    source = find_source(path, choose_by="SIZEWISE_REGISTRY=PATH, which may be the graph itself")
    name = valid_name(source.folder.resolve().name)
    scratch = Path(tempfile.mkdtemp(dir=_scratch()))
    try:
        exported = read_exported(source, scratch, family=name, variant=name, pairs=None)
        for warning in exported.warnings:
            log("suspicious model", path=str(path), reason=warning)
        manifest = scratch / MANIFEST_NAME
        manifest.write_text(exported.bundle.manifest.model_dump_json(), encoding="utf-8")
    except BaseException:
        shutil.rmtree(scratch, ignore_errors=True)
        raise
    files = (*exported.bundle.elsewhere, (MANIFEST_NAME, manifest))
    bundle = replace(exported.bundle, elsewhere=files)
    # Copies of the bundle share its manifest, so this is when nobody serves it any more.
    finalizer = weakref.finalize(bundle.manifest, shutil.rmtree, scratch, ignore_errors=True)
    finalizer.atexit = False
    _latest[path] = (state, bundle)
    return bundle


@cache
def _scratch() -> str:
    folder = tempfile.mkdtemp(prefix="sizewise-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


def valid_name(name: str) -> str:
    """Make a name of a family or variant of any text."""
    kept = re.sub(r"[^a-z0-9.-]+", "-", name.lower()).strip(".-")
    return kept[:_LONGEST_NAME].strip(".-") or _UNNAMED
