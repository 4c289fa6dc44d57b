"""Imports a classifier that others exported, without torch: reads it, runs it, publishes it."""

import re
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from models.graphs.import_trial import answers_probabilities, try_out
from models.graphs.imported_graph import optimized
from serving.bundles.bundle import MODEL_NAME, Bundle, describe, write_manifest
from serving.bundles.exported import Exported, find_source, read_exported
from serving.bundles.registry import publish
from serving.errors import BundleError, EngineFailed

Say = Callable[[str], None]


def import_folder(
    path: Path,
    family: str,
    variant: str,
    registry: Path,
    *,
    pairs: bool = False,
    graph: str = "",
    reference: Path | None = None,
    as_is: bool = False,
    check: Callable[[Bundle], None] = lambda _bundle: None,
    say: Say = lambda _warning: None,
    tell: Say = lambda _done: None,
) -> Bundle:
    """Publish a Hugging Face folder with an ONNX graph, or such a graph, as a bundle.

    `graph` names one of several in the folder; `pairs` says that the model reads two texts at a
    time. The graph runs on the engines that will serve it, and with `reference` its answers are
    compared with those of transformers on that folder. What is suspicious is said. Unless `as_is`,
    the graph is fused and packed where that is right and faster, and what was done is told.
    Raises BundleError naming what is missing, unusable or fails, or what `check` raises of it
    before the graph is run: then nothing is published.
    """
    source = find_source(path, graph)
    with tempfile.TemporaryDirectory() as scratch, _instead_of(scratch, source.folder):
        exported = read_exported(source, Path(scratch), family=family, variant=variant, pairs=pairs)
        check(exported.bundle)
        if exported.looks_like_pairs and not pairs:
            say(f"{path} looks like a model of two texts at a time: if it is one, add --pairs")
        if answers_probabilities(exported.bundle):
            say(f"{source.graph}: its outputs sum to 1, so they are taken as probabilities")
            exported = _changed(exported, graph_output="probabilities")
        warnings = try_out(exported.bundle)
        for warning in (*exported.warnings, *warnings):
            say(warning)
        if not as_is:
            exported = _optimized(exported, Path(scratch), warnings, tell)
        if reference:
            from models.graphs.import_reference import compare  # noqa: PLC0415  needs torch

            say(compare(exported.bundle, reference))
        staged = Path(scratch) / "staged"
        staged.mkdir()
        for name, file in exported.bundle.elsewhere:
            shutil.copyfile(file, staged / name)
        write_manifest(staged, **exported.fields)
        return publish(staged, registry)


def _optimized(exported: Exported, scratch: Path, warnings: list[str], tell: Say) -> Exported:
    """Fuse and pack the graph, unless that would keep an engine from running it."""
    found = optimized(exported.bundle, scratch)
    if found.path == exported.bundle.model_path:
        tell(found.done)
        return exported
    changed = _with_graph(exported, found.path)
    try:
        runs = _kinds(try_out(changed.bundle)) <= _kinds(warnings)
    except (BundleError, EngineFailed):  # the original is what was asked for, and it runs
        runs = False
    if not runs:
        tell("The graph is left as it is: fused, not all engines run it as they run the original.")
        return exported
    tell(found.done)
    return changed


def _kinds(warnings: list[str]) -> set[str]:
    """Return what warnings are about, without their figures and reasons."""
    return {re.split(r"[:\d]", warning, maxsplit=1)[0] for warning in warnings}


@contextmanager
def _instead_of(scratch: str, folder: Path) -> Iterator[None]:
    """Name the user's folder in an error in place of a temporary one."""
    try:
        yield
    except BundleError as error:
        error.detail = error.detail.replace(scratch, str(folder))
        raise


def _changed(exported: Exported, **fields: Any) -> Exported:
    """Return it with other fields of its manifest."""
    before, fields = exported.bundle, exported.fields | fields
    manifest = describe(dict(before.elsewhere), before.folder, **fields)
    return replace(exported, bundle=replace(before, manifest=manifest), fields=fields)


def _with_graph(exported: Exported, graph: Path) -> Exported:
    """Return it with another graph, which holds all its weights."""
    before = exported.bundle
    old = {MODEL_NAME, *exported.outline.external_files}
    files = [(name, path) for name, path in before.elsewhere if name not in old]
    files = [(MODEL_NAME, graph), *files]
    manifest = describe(dict(files), before.folder, **exported.fields)
    return replace(exported, bundle=replace(before, manifest=manifest, elsewhere=tuple(files)))
