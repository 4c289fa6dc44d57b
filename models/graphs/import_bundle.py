"""Imports a classifier that others exported, without torch: reads it, runs it, publishes it."""

import shutil
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from models.graphs.import_trial import answers_probabilities, try_out
from models.graphs.imported_graph import optimized
from models.graphs.single_output import kept_alone
from serving.bundles.bundle import MODEL_NAME, Bundle, describe, write_manifest
from serving.bundles.exported import Exported, find_source, read_exported
from serving.bundles.graph_traits import served_output
from serving.bundles.registry import publish

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
    say: Say = lambda _warning: None,
) -> Bundle:
    """Publish a Hugging Face folder with an ONNX graph, or such a graph, as a bundle.

    `graph` names one of several in the folder; `pairs` says that the model reads two texts at a
    time. The graph runs on the engines that will serve it, and with `reference` its answers are
    compared with those of transformers on that folder. What is suspicious is said. Unless `as_is`,
    the graph is fused and packed where that is right and faster.
    Raises BundleError naming what is missing, unusable or fails: then nothing is published.
    """
    source = find_source(path, graph)
    with tempfile.TemporaryDirectory() as scratch:
        exported = read_exported(source, Path(scratch), family=family, variant=variant, pairs=pairs)
        if exported.looks_like_pairs and not pairs:
            say(f"{path} looks like a model of two texts at a time: if it is one, add --pairs")
        exported = _with_one_output(exported, Path(scratch))
        if answers_probabilities(exported.bundle):
            say(f"{source.graph}: its outputs sum to 1, so they are taken as probabilities")
            exported = _changed(exported, graph_output="probabilities")
        warnings = try_out(exported.bundle)
        for warning in (*exported.warnings, *warnings):
            say(warning)
        if not as_is:
            exported = _optimized(exported, Path(scratch), len(warnings), say)
        if reference:
            from models.graphs.import_reference import compare  # noqa: PLC0415  needs torch

            say(compare(exported.bundle, reference))
        staged = Path(scratch) / "staged"
        staged.mkdir()
        for name, file in exported.bundle.elsewhere:
            shutil.copyfile(file, staged / name)
        write_manifest(staged, **exported.fields)
        return publish(staged, registry)


def _with_one_output(exported: Exported, scratch: Path) -> Exported:
    """Remove the other outputs where the server would take one of them for the logits."""
    if served_output(exported.outline) == exported.logits:
        return exported
    return _with_graph(
        exported, kept_alone(exported.outline, exported.logits, scratch / MODEL_NAME)
    )


def _with_graph(exported: Exported, graph: Path) -> Exported:
    """Replace the graph by one that holds all its weights."""
    old = {MODEL_NAME, *exported.outline.external_files}
    files = [(name, path) for name, path in exported.bundle.elsewhere if name not in old]
    return _described(exported, [(MODEL_NAME, graph), *files], exported.fields)


def _optimized(exported: Exported, scratch: Path, warnings: int, say: Say) -> Exported:
    """Fuse and pack the graph, unless that would keep an engine from running it."""
    found = optimized(exported.bundle, scratch)
    if found.path == exported.bundle.model_path:
        say(found.done)
        return exported
    changed = _with_graph(exported, found.path)
    if len(try_out(changed.bundle)) > warnings:
        say("The graph is left as it is: not all engines that run it can run it fused.")
        return exported
    say(found.done)
    return changed


def _changed(exported: Exported, **fields: Any) -> Exported:
    return _described(exported, list(exported.bundle.elsewhere), exported.fields | fields)


def _described(
    exported: Exported, files: list[tuple[str, Path]], fields: dict[str, Any]
) -> Exported:
    manifest = describe(dict(files), exported.bundle.folder, **fields)
    bundle = Bundle(exported.bundle.folder, manifest, tuple(files))
    return replace(exported, bundle=bundle, fields=fields)
