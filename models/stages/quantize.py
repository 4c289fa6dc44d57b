"""Quantises a bundle's weights; what costs more accuracy than the recipe allows is left alone.

It does not know how the parent was made, nor what a number format does to a graph.
"""

import json
import shutil
import tempfile
from collections.abc import Callable, Collection
from functools import partial
from pathlib import Path

import onnx

from models.data.labelled import Labelled, read_labels, read_split, targets
from models.evaluation.predictions import Answerer, predicted
from models.evaluation.statistics import right
from models.graphs import nncf_int8
from models.graphs.quantizers import operators, quantised, split_attention
from models.graphs.sensitivity import most_sensitive_first
from models.graphs.trace import trace
from models.pipeline import Job
from models.recipe import RecipeError
from models.recipe_sections import QuantizeSection, Scheme
from models.training.architecture import load_classifier
from serving.bundles.bundle import (
    CONFIG_NAME,
    MODEL_NAME,
    OPENVINO_NAMES,
    TOKENIZER_NAME,
    Bundle,
    Precision,
    read_bundle,
    write_manifest,
)
from serving.inference.signature import Feed, read_signature
from serving.inference.tokenizer import Tokenizer

KEPT_KEY = "sizewise.kept_operators"
_CALIBRATION_TEXTS = 300
_SENSITIVITY_TEXTS = 128
_LARGEST_KEPT_SHARE = 0.5


def run(job: Job) -> None:
    """Write the quantised bundle, without evaluations.

    The operators that keep the parent's format are named in the graph's metadata, as JSON under
    `sizewise.kept_operators`. Raises RecipeError when half of them would have to and it is still
    worse than the parent by more than `max_accuracy_drop` on validation.
    """
    section = job.recipe.quantize
    assert section is not None
    parent = read_bundle(job.inputs["parent"])
    for name in (CONFIG_NAME, TOKENIZER_NAME):
        shutil.copyfile(parent.folder / name, job.output / name)
    tokenizer = Tokenizer(parent.tokenizer_path, parent.manifest.max_length)
    with tempfile.TemporaryDirectory() as scratch:
        source = _source(job, parent, Path(scratch))
        inputs = [node.name for node in onnx.load(source).graph.input]
        signature = read_signature(parent, inputs, ["logits"])

        def feeds(rows: list[Labelled]) -> list[Feed]:
            encodings = tokenizer.encode([row.text for row in rows])
            return [signature.feed([encoding]) for encoding in encodings]

        calibration = feeds(read_split(job.inputs["data"], "calibration")[:_CALIBRATION_TEXTS])
        kept: list[str] = []
        if section.scheme == "int8-openvino":
            _openvino(job, parent, calibration, feeds)
        else:
            write = partial(_write, section, source, calibration)
            kept = _kept(job, parent, operators(source, section.scheme), write)
    manifest = write_manifest(
        job.output,
        **parent.manifest.model_dump(exclude={"version", "bytes", "files"})
        | {
            "variant": job.recipe.variant,
            "parent": job.recipe.parent,
            "precision": precision(section),
        },
    )
    print(f"{manifest.bytes} bytes instead of {parent.manifest.bytes}")
    if kept:
        print(f"In the parent's format: {', '.join(kept)}")


def _openvino(
    job: Job,
    parent: Bundle,
    calibration: list[Feed],
    feeds: Callable[[list[Labelled]], list[Feed]],
) -> None:
    """Write OpenVINO's format, which controls the loss itself; raise RecipeError if it cannot."""
    section = job.recipe.quantize
    assert section is not None
    labels = read_labels(job.inputs["data"])
    rows = read_split(job.inputs["data"], "validation")
    truth = targets(rows, labels)
    nncf_int8.write(
        parent.model_path,
        job.output / OPENVINO_NAMES[0],
        calibration,
        list(zip(feeds(rows), truth, strict=True)),
        problem_type=labels.problem_type,
        max_accuracy_drop=section.max_accuracy_drop,
    )
    texts = [row.text for row in rows]
    before, after = (
        float(right(truth, predicted(Answerer(b).logits(texts), labels.problem_type)).mean())
        for b in (parent, Bundle(job.output, parent.manifest))
    )
    print(f"validation: accuracy {before:.4f}, {after:.4f}")
    if before - after > section.max_accuracy_drop:
        raise _too_lossy(job, before - after, "whatever operators were kept")


def precision(section: QuantizeSection) -> Precision:
    """What most of the weights are stored as."""
    kinds: dict[Scheme, Precision] = {"int4": "int4", "fp16": "fp16"}
    return kinds.get(section.scheme, "int8")


def _kept(job: Job, parent: Bundle, names: list[str], write: partial[None]) -> list[str]:
    """Write the graph; the operators that had to keep the parent's format, as few as possible."""
    section = job.recipe.quantize
    assert section is not None
    labels = read_labels(job.inputs["data"])
    rows = read_split(job.inputs["data"], "validation")
    truth = targets(rows, labels)
    texts = [row.text for row in rows]

    def accuracy(bundle: Bundle) -> float:
        answers = predicted(Answerer(bundle).logits(texts), labels.problem_type)
        return float(right(truth, answers).mean())

    before = accuracy(parent)
    output = Bundle(job.output, parent.manifest)
    ranking: list[str] = []
    for count in range(int(_LARGEST_KEPT_SHARE * len(names)) + 1):
        if count == 1:
            ranking = most_sensitive_first(names, write, parent, texts[:_SENSITIVITY_TEXTS])
        write(output.model_path, ranking[:count])
        after = accuracy(output)
        print(f"validation: accuracy {before:.4f}, {after:.4f} with {count} of {len(names)} kept")
        if before - after <= section.max_accuracy_drop:
            return ranking[:count]
    raise _too_lossy(job, before - after, f"even with {count} of {len(names)} operators kept")


def _too_lossy(job: Job, loss: float, however: str) -> RecipeError:
    section = job.recipe.quantize
    assert section is not None
    return RecipeError(
        f"{job.recipe.variant}: quantize: {section.scheme} loses {loss:.4f} of accuracy on "
        f"validation, more than max_accuracy_drop {section.max_accuracy_drop}, {however}: distil "
        "longer, allow more or take another scheme"
    )


def _write(
    section: QuantizeSection,
    source: Path,
    calibration: list[Feed],
    target: Path,
    kept: Collection[str],
) -> None:
    quantised(section.scheme, source, target, kept, calibration)
    model = onnx.load(target)
    onnx.helper.set_model_props(model, {KEPT_KEY: json.dumps(list(kept))})
    onnx.save(model, target)


def _source(job: Job, parent: Bundle, scratch: Path) -> Path:
    """The graph to quantise: the parent's, or one of its weights with attention split up."""
    assert job.recipe.quantize is not None
    if job.recipe.quantize.scheme in ("int8-dynamic", "int8-openvino", "fp16"):
        return parent.model_path
    weights = job.inputs.get("teacher")
    if weights is None:
        raise RecipeError(
            f"{job.recipe.variant}: quantize: {job.recipe.parent} is quantised already: "
            "take the variant with its weights as the parent"
        )
    model = load_classifier(weights, attn_implementation="eager")
    trace(model, scratch / "plain.onnx")
    split_attention(scratch / "plain.onnx", model.config, scratch / MODEL_NAME)
    return scratch / MODEL_NAME
