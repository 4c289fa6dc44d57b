"""An exported classifier as others leave it, read as a bundle: a Hugging Face folder or its graph.

Nothing is copied: the bundle's graph is the user's file. It needs neither torch nor onnx.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from serving.bundles.bundle import (
    CONFIG_NAME,
    MANIFEST_NAME,
    MODEL_NAME,
    TOKENIZER_NAME,
    Bundle,
    describe,
)
from serving.bundles.files import listed
from serving.bundles.graph_traits import (
    FLOATS,
    embedding_rows,
    external_files,
    final_operator,
    fixed_tokens,
    logits_of,
    parameters_of,
    precision_of,
)
from serving.bundles.hugging_face import Declared, label_counts, read_declared
from serving.bundles.onnx_file import DATATYPE_NAMES, Outline, Value, read_outline
from serving.errors import BundleError, failures

ONNX_SUFFIX = ".onnx"
_FOLDERS = ("", "onnx")
_WEIGHTS_OF_OTHERS = ("*.safetensors", "pytorch_model*.bin", "*.pt", "tf_model.h5", "*.msgpack")
_ADAPTER_NAME = "adapter_config.json"


@dataclass(frozen=True, slots=True)
class Source:
    """Where an exported classifier lies: its graph, and the folder that describes it."""

    graph: Path
    folder: Path


@dataclass(frozen=True, slots=True)
class Exported:
    """An exported classifier as a bundle, and what is suspicious about it."""

    bundle: Bundle
    outline: Outline
    fields: dict[str, Any]
    """The fields of its manifest."""
    warnings: list[str]
    looks_like_pairs: bool


def find_source(path: Path, graph: str = "", *, choose_by: str = "--graph NAME") -> Source:
    """Find the graph in a folder, or the folder of a graph.

    `graph` names one of several: a path inside the folder, or a file name with or without .onnx.
    Raises BundleError that says what is missing, or which there are and to `choose_by`.
    """
    if path.is_file():
        return Source(path, _described_by(path))
    if not path.is_dir():
        raise BundleError(f"{path} does not exist: give a folder or an ONNX file")
    found = graphs_of(path)
    if not found:
        raise BundleError(_without_graph(path))
    names = {each.relative_to(path).as_posix(): each for each in found}
    wanted = [
        each
        for name, each in names.items()
        if not graph or graph in (name, name.removesuffix(ONNX_SUFFIX), each.name, each.stem)
    ]
    if graph in names:
        wanted = [names[graph]]
    if len(wanted) != 1:
        listed = ", ".join(names)
        has = f"has {len(names)} graphs ({listed})" if not graph or wanted else ""
        raise BundleError(
            f"{path} {has or f'has no graph {graph}, only {listed}'}: choose one with {choose_by}"
        )
    return Source(wanted[0], path)


def graphs_of(folder: Path) -> list[Path]:
    """Return the ONNX files in a folder and in its folder onnx/."""
    return [each for name in _FOLDERS for each in sorted((folder / name).glob(f"*{ONNX_SUFFIX}"))]


def folders_of(graph: Path) -> list[Path]:
    """Return the folders that may describe a graph: its own, and the one above.

    The graph may be a link, as in the cache of the Hugging Face Hub, where only links have names.
    """
    return [graph.parent, graph.parent.resolve().parent]


def is_exported(path: Path) -> bool:
    """Return whether this is an ONNX file or a model's folder rather than a registry."""
    try:
        return (
            path.suffix == ONNX_SUFFIX
            or (path / CONFIG_NAME).is_file()
            or (path.is_dir() and bool(graphs_of(path)))
        )
    except OSError:  # whoever opens it says why
        return False


def read_exported(
    source: Source, scratch: Path, *, family: str, variant: str, pairs: bool | None = False
) -> Exported:
    """Read an exported classifier; files that a bundle has in another form are made in `scratch`.

    `pairs` None means what the configuration looks like.
    Raises BundleError naming what is wrong, and the remedy.
    """
    outline = read_outline(source.graph)
    with failures(BundleError, str(source.folder)):
        logits = logits_of(outline, *label_counts(source.folder))
        declared = read_declared(source.folder, logits.shape[-1] if len(logits.shape) == 2 else 0)
    _check_answers(outline, logits, declared)
    _check_ids(outline, declared)
    warnings = list(declared.warnings)
    fields: dict[str, Any] = {
        "family": family,
        "variant": variant,
        "labels": declared.labels,
        "problem_type": declared.problem_type,
        "max_length": min(declared.max_length, fixed_tokens(outline) or declared.max_length),
        "pairs": declared.looks_like_pairs if pairs is None else pairs,
        "pad_token_id": declared.pad_token_id,
        "precision": precision_of(outline),
        "parameters": parameters_of(outline),
    }
    final = final_operator(outline, logits.name)
    fields |= _probabilities(source.graph, final, declared, warnings)
    files = {MODEL_NAME: source.graph, **external_files(outline)}
    for name, text in (
        (CONFIG_NAME, declared.config_text),
        (TOKENIZER_NAME, declared.tokenizer_text),
    ):
        files[name] = source.folder / name
        if files[name].read_bytes() != text.encode():
            files[name] = scratch / name
            files[name].write_bytes(text.encode())
    manifest = describe(files, source.folder / MANIFEST_NAME, **fields)
    bundle = Bundle(source.folder, manifest, tuple(files.items()))
    looks_like_pairs = declared.looks_like_pairs
    return Exported(bundle, outline, fields, warnings, looks_like_pairs)


def _check_answers(outline: Outline, logits: Value, declared: Declared) -> None:
    """Raise BundleError unless the graph answers one number for each label."""
    where, labels = f"{outline.path}: its output {logits.name}", declared.labels
    again = "export it again with its classification head (--task text-classification)"
    if logits.datatype and logits.datatype not in FLOATS:
        kind = DATATYPE_NAMES.get(logits.datatype, "of an unknown type")
        raise BundleError(f"{where} is {kind}, not logits: {again}")
    if len(logits.shape) > 2:
        raise BundleError(
            f"{where} has {len(logits.shape)} dimensions, not a number for each label: {again}"
        )
    if len(logits.shape) == 2 and logits.shape[1] not in {0, len(labels)}:
        raise BundleError(
            f"{where} has {logits.shape[1]} numbers, config.json names {len(labels)} labels "
            f"({listed(labels)}): correct id2label, or {again}"
        )


def _check_ids(outline: Outline, declared: Declared) -> None:
    """Raise BundleError if the tokenizer has ids that the graph's embedding lacks.

    Engines differ silently on such ids.
    """
    rows = embedding_rows(outline)
    token, largest = declared.largest_token
    if 0 < rows <= largest:
        raise BundleError(
            f"{outline.path}: its embedding has {rows} rows, tokenizer.json has ids up to "
            f"{largest} ({token!r}): call resize_token_embeddings before the export, or remove the "
            "tokens"
        )
    if 0 < rows <= declared.pad_token_id:
        raise BundleError(
            f"{outline.path}: its embedding has {rows} rows, pad_token_id is "
            f"{declared.pad_token_id}: correct config.json"
        )


def _probabilities(
    graph: Path, final: str, declared: Declared, warnings: list[str]
) -> dict[str, Any]:
    """Return the fields that say whether the graph's answers are probabilities already."""
    if declared.problem_type == "regression" or final not in ("Softmax", "Sigmoid"):
        return {}
    if final == "Softmax" and len(declared.labels) == 1:
        raise BundleError(
            f"{graph} ends in Softmax over one label, which is always 1: export it without"
        )
    warnings.append(f"{graph} ends in {final}: its outputs are taken as probabilities, not logits")
    fields: dict[str, Any] = {"graph_output": "probabilities"}
    if final == "Sigmoid" and declared.problem_type == "single_label":
        fields["problem_type"] = "multi_label"
        warnings.append(
            f"{graph} ends in Sigmoid, so a text may have several labels, whatever config.json says"
        )
    return fields


def _described_by(graph: Path) -> Path:
    """Return the folder with a graph's config.json: its own, or the one above."""
    for folder in folders_of(graph):
        if (folder / CONFIG_NAME).is_file():
            return folder
    raise BundleError(
        f"{graph} has no {CONFIG_NAME} beside it or above it: give the model's folder; a graph "
        "that reads numbers is imported with --labels"
    )


def _without_graph(folder: Path) -> str:
    if (folder / MANIFEST_NAME).is_file():
        return f"{folder} is a bundle without a graph of its own: serve it from its registry"
    weights = [path.name for pattern in _WEIGHTS_OF_OTHERS for path in sorted(folder.glob(pattern))]
    if (folder / _ADAPTER_NAME).is_file():
        return (
            f"{folder} holds an adapter of PEFT: merge it into its model (merge_and_unload), then "
            f"export that to {MODEL_NAME}"
        )
    if not weights:
        return f"{folder} has no {MODEL_NAME} or onnx/{MODEL_NAME}: export the model to ONNX"
    return (
        f"{folder} has no {MODEL_NAME}, only weights for training ({weights[0]}). Either export "
        f"it, `optimum-cli export onnx --model {folder} --task text-classification OUTPUT`, and "
        "give OUTPUT; or name it as `folder` in the section [adopt] of a recipe, which exports, "
        "compresses and measures it (see the guide Train and compress)"
    )
