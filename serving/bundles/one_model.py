"""Serves the folder of one exported model, as others made it, as a family of one variant."""

import atexit
import os
import re
import shutil
import tempfile
from dataclasses import replace
from functools import cache
from pathlib import Path

from serving.bundles.bundle import MANIFEST_NAME, Bundle, read_bundle
from serving.bundles.exported import find_source, read_exported
from serving.bundles.graph_traits import served_output
from serving.errors import BundleError
from serving.logs import log

_LONGEST_NAME = 63
_UNNAMED = "model"
_Files = frozenset[tuple[str, int, int]]


def read_as_family(path: Path) -> Bundle:
    """Read a Hugging Face folder with an ONNX graph, or such a graph, as a bundle of its name.

    The files stay where they are; those that a bundle has in another form are made in a temporary
    folder, which is removed when this process ends.
    Raises BundleError as read_exported does, and where only `python -m models import` can help.
    """
    if (path / MANIFEST_NAME).is_file():
        bundle = read_bundle(path)
        return replace(bundle, elsewhere=tuple((n, path / n) for n in bundle.manifest.files))
    return _read(path, frozenset((str(p), s.st_mtime_ns, s.st_size) for p, s in files_of(path)))


def files_of(path: Path) -> list[tuple[Path, os.stat_result]]:
    """Return the files that may belong to the model, with their size and time of change."""
    folders = [path.parent, path.parent.parent] if path.is_file() else [path, path / "onnx"]
    return [
        (each, each.stat())
        for folder in folders
        if folder.is_dir()
        for each in folder.iterdir()
        if each.is_file()
    ]


@cache
def _read(path: Path, _unchanged: _Files) -> Bundle:
    """Read it once for each state of its files: hashing a large graph takes seconds."""
    source = find_source(path, choose_by="SIZEWISE_REGISTRY=PATH, which may be the graph itself")
    name = valid_name(source.folder.resolve().name)
    scratch = Path(tempfile.mkdtemp(dir=_scratch()))
    exported = read_exported(source, scratch, family=name, variant=name, pairs=None)
    outputs = [each.name for each in exported.outline.outputs]
    if served_output(exported.outline) != exported.logits:
        raise BundleError(
            f"{source.graph} has the outputs {', '.join(outputs)} and none is called logits: "
            "import it with `python -m models import`, which keeps the right one"
        )
    for warning in exported.warnings:
        log("suspicious model", path=str(path), reason=warning)
    return exported.bundle


@cache
def _scratch() -> str:
    folder = tempfile.mkdtemp(prefix="sizewise-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


def valid_name(name: str) -> str:
    """Make a name of a family or variant of any text."""
    kept = re.sub(r"[^a-z0-9.-]+", "-", name.lower()).strip(".-")
    return kept[:_LONGEST_NAME].strip(".-") or _UNNAMED
