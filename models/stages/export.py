"""The stage `export`: writes weights as one fused ONNX graph whose logits equal torch's."""

import json
import shutil
from pathlib import Path

import torch
from transformers import PreTrainedModel

from models.data.labelled import LabelSet, read_labels, read_split
from models.graphs.fusion import fuse
from models.graphs.packing import PACKABLE
from models.graphs.trace import trace
from models.job import Job
from models.library_errors import first_line
from models.progress import progress
from models.recipe import RecipeError
from models.recipe_sections import ExportSection
from models.training.architecture import load_classifier, text_config
from models.training.encodings import readable
from models.training.loop import padded
from models.training.normalization import normalizations
from models.training.static_classifier import StaticClassifier
from serving.bundles.bundle import CONFIG_NAME, MODEL_NAME, TOKENIZER_NAME, Bundle, write_manifest
from serving.inference.cpu import usable_cores
from serving.inference.engine import Resources
from serving.inference.ort_engine import OrtEngine
from serving.inference.tokenizer import Tokenizer

_PARITY_TEXTS = 256
_PARITY_BATCH_TEXTS = 8
_ROUNDING = 1e-2
"""A logit that differs by more is not rounded otherwise, but computed otherwise."""


def run(job: Job) -> None:
    """Write a bundle of the weights, not yet evaluated.

    Raises RecipeError when torch cannot export the model, when the graph's logits differ from
    torch's by more than the recipe's tolerance, or when the graph is not fused as its
    architecture should be.
    """
    section = job.recipe.export or ExportSection()
    torch.set_num_threads(usable_cores())
    weights = job.inputs["weights"]
    model = _write_graph(job)
    labels = read_labels(job.inputs["data"])
    _copy_config(weights / CONFIG_NAME, job.output / CONFIG_NAME, labels)
    shutil.copyfile(weights / TOKENIZER_NAME, job.output / TOKENIZER_NAME)
    manifest = write_manifest(
        job.output,
        family=job.recipe.family,
        variant=job.recipe.variant,
        labels=list(labels.names),
        problem_type=labels.problem_type,
        max_length=job.max_length,
        normalize=list(normalizations(job.output / TOKENIZER_NAME)),
        pad_token_id=text_config(model.config).pad_token_id or 0,
        precision="fp32",
        parameters=sum(parameter.numel() for parameter in model.parameters()),
        parent=job.recipe.parent,
    )
    rows = read_split(job.inputs["data"], "validation")[:_PARITY_TEXTS]
    # Every fourth text is cut in half, so that batches have padding.
    texts = [
        row.text if number % 4 else row.text[: len(row.text) // 2 + 1]
        for number, row in enumerate(rows)
    ]
    difference = _difference(model, Bundle(job.output, manifest), texts)
    print(f"logits of ONNX and torch differ by at most {difference:.1e}")
    if not difference <= section.tolerance:
        raise RecipeError(
            f"{job.recipe.variant}: export: the graph's logits differ from torch's by "
            f"{difference:.1e}, more than the tolerance {section.tolerance:.1e}: "
            f"{_remedy(difference, model.config.model_type)}"
        )


def _write_graph(job: Job) -> PreTrainedModel:
    """Write the graph of the weights; return them as a model."""
    weights, graph = job.inputs["weights"], job.output / MODEL_NAME
    if job.recipe.static:
        static: PreTrainedModel = StaticClassifier.from_pretrained(weights)
        trace(static, graph)
        return static
    # The fusions recognise "eager" attention only.
    model = load_classifier(weights, attn_implementation="eager")
    plain = job.output / "plain.onnx"
    trace(model, plain)
    fuse(plain, model.config, graph)
    plain.unlink()
    return model


def largest_difference(model: PreTrainedModel, bundle: Bundle, texts: list[str]) -> float:
    """Return the largest difference between a logit of torch and of the bundle.

    Torch reads each text alone, the bundle reads batches.
    """
    tokenizer = Tokenizer(bundle.tokenizer_path, bundle.manifest.max_length)
    encodings = readable(tokenizer, texts)
    engine = OrtEngine(bundle, Resources("cpu", threads=1))
    starts = range(0, len(encodings), _PARITY_BATCH_TEXTS)
    largest = 0.0
    for start in progress(starts, does="parity with torch", units="batches"):
        batch = encodings[start : start + _PARITY_BATCH_TEXTS]
        with torch.inference_mode():
            alone = [model(**padded([encoding.ids])).logits for encoding in batch]
        differences = (torch.tensor(engine.run(batch)) - torch.cat(alone)).abs()
        # NaN is no agreement, and max() would lose it.
        largest = max(largest, float(differences.nan_to_num(nan=torch.inf).max()))
    return largest


def _difference(model: PreTrainedModel, bundle: Bundle, texts: list[str]) -> float:
    try:
        return largest_difference(model, bundle, texts)
    except RecipeError:
        raise
    except Exception as error:  # torch and the runtime raise many types
        raise RecipeError(
            f"{bundle.manifest.variant}: export: {type(model).__name__} or its graph cannot read "
            f"the validation texts: {first_line(error)}: use a model of another architecture, such "
            f"as {', '.join(PACKABLE)}"
        ) from error


def _remedy(difference: float, model_type: str) -> str:
    if difference > _ROUNDING:
        return (
            f"ONNX cannot express {model_type}, or its answers depend on the padding of a batch; "
            f"use a model of another architecture, such as {', '.join(PACKABLE)}"
        )
    return "raise it if the labels still agree, or try other versions of torch and onnxruntime"


def _copy_config(source: Path, target: Path, labels: LabelSet) -> None:
    """Copy config.json; with `id2label`, which transformers leaves out for LABEL_0, LABEL_1."""
    config = json.loads(source.read_text(encoding="utf-8"))
    if "id2label" in config:
        shutil.copyfile(source, target)
        return
    config["id2label"] = {str(index): name for index, name in enumerate(labels.names)}
    config["label2id"] = {name: index for index, name in enumerate(labels.names)}
    target.write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
