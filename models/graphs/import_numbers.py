"""Imports a graph that reads rows of numbers."""

import json
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path

from models.graphs.import_trial import try_out
from serving.bundles.bundle import (
    CONFIG_NAME,
    MODEL_NAME,
    Bundle,
    read_bundle,
    write_manifest,
)
from serving.bundles.graph_traits import external_files, logits_of, parameters_of, precision_of
from serving.bundles.onnx_file import DATATYPES, Value, read_outline
from serving.bundles.registry import publish
from serving.bundles.tensor_input import TensorInput
from serving.errors import BundleError


def import_graph(
    model: Path, family: str, variant: str, registry: Path, labels: Sequence[str]
) -> Bundle:
    """Publish an ONNX graph that reads rows of numbers and whose first output is logits.

    Raises BundleError naming what is wrong with the graph.
    """
    if not model.is_file():
        raise BundleError(
            f"{model} is no file: --labels is for the ONNX file of a graph of numbers"
        )
    outline = read_outline(model)
    inputs = [_tensor(model, each) for each in outline.inputs]
    logits = logits_of(outline, len(labels))
    if len(logits.shape) != 2 or logits.shape[1] not in {0, len(labels)}:
        raise BundleError(
            f"{model}: {logits.name} has the shape {list(logits.shape)}, not "
            f"[batch, {len(labels)}]: export one logit for each label"
        )
    files = {MODEL_NAME: model, **external_files(outline)}
    config = {"id2label": {str(index): label for index, label in enumerate(labels)}}
    with tempfile.TemporaryDirectory() as scratch:
        staged = Path(scratch)
        for name, path in files.items():
            shutil.copyfile(path, staged / name)
        (staged / CONFIG_NAME).write_text(json.dumps(config), encoding="utf-8")
        write_manifest(
            staged,
            family=family,
            variant=variant,
            labels=list(labels),
            problem_type="single_label",
            max_length=1,
            tensors=inputs,
            pad_token_id=0,
            precision=precision_of(outline),
            parameters=parameters_of(outline),
        )
        manifest = read_bundle(staged).manifest
        try_out(Bundle(model.parent, manifest, ((MODEL_NAME, model),)))
        return publish(staged, registry)


def _tensor(model: Path, given: Value) -> TensorInput:
    batch, *sizes = given.shape or (None,)
    kind = DATATYPES.get(given.datatype)
    if batch != 0 or not all(sizes) or kind is None:
        raise BundleError(
            f"{model}: {given.name} is not numbers of the shape [batch, fixed sizes]: "
            "export it with a dynamic first dimension and all others fixed"
        )
    return TensorInput(name=given.name, datatype=kind, shape=sizes)
