"""The stage `export`: writes weights as one fused ONNX graph whose logits equal torch's."""

import torch
from transformers import PreTrainedModel

from models.data.labelled import read_labels, read_split
from models.graphs.fusion import fuse
from models.graphs.trace import trace
from models.job import Job
from models.progress import progress
from models.recipe import RecipeError
from models.recipe_sections import ExportSection
from models.training.architecture import load_classifier
from models.training.loop import padded
from serving.bundles.bundle import CONFIG_NAME, MODEL_NAME, TOKENIZER_NAME, Bundle, write_manifest
from serving.inference.cpu import usable_cores
from serving.inference.engine import Resources
from serving.inference.ort_engine import OrtEngine
from serving.inference.tokenizer import Tokenizer

_PARITY_TEXTS = 256
_PARITY_BATCH_TEXTS = 8


def run(job: Job) -> None:
    """Write a bundle of the weights, not yet evaluated.

    Raises RecipeError when torch cannot export the model, when the graph's logits differ from
    torch's by more than the recipe's tolerance, or when the graph is not fused as its
    architecture should be.
    """
    section = job.recipe.export or ExportSection()
    torch.set_num_threads(usable_cores())
    weights = job.inputs["weights"]
    # The fusions recognise "eager" attention only.
    model = load_classifier(weights, attn_implementation="eager")
    for name in (CONFIG_NAME, TOKENIZER_NAME):
        (job.output / name).write_bytes((weights / name).read_bytes())
    plain = job.output / "plain.onnx"
    trace(model, plain)
    fuse(plain, model.config, job.output / MODEL_NAME)
    plain.unlink()
    labels = read_labels(job.inputs["data"])
    manifest = write_manifest(
        job.output,
        family=job.recipe.family,
        variant=job.recipe.variant,
        labels=list(labels.names),
        problem_type=labels.problem_type,
        max_length=job.max_length,
        pad_token_id=model.config.pad_token_id or 0,
        precision="fp32",
        parameters=sum(parameter.numel() for parameter in model.parameters()),
        parent=job.recipe.parent,
    )
    texts = [row.text for row in read_split(job.inputs["data"], "validation")][:_PARITY_TEXTS]
    difference = largest_difference(model, Bundle(job.output, manifest), texts)
    print(f"logits of ONNX and torch differ by at most {difference:.1e}")
    if difference > section.tolerance:
        raise RecipeError(
            f"{job.recipe.variant}: export: the graph's logits differ from torch's by "
            f"{difference:.1e}, more than the tolerance {section.tolerance:.1e}: "
            "raise it if the labels still agree, or try other versions of torch and onnxruntime"
        )


def largest_difference(model: PreTrainedModel, bundle: Bundle, texts: list[str]) -> float:
    """Return the largest difference between a logit of torch and of the bundle, in batches."""
    tokenizer = Tokenizer(bundle.tokenizer_path, bundle.manifest.max_length)
    encodings = tokenizer.encode(texts)
    engine = OrtEngine(bundle, Resources("cpu", threads=1))
    starts = range(0, len(encodings), _PARITY_BATCH_TEXTS)
    largest = 0.0
    for start in progress(starts, does="parity with torch", units="batches"):
        batch = encodings[start : start + _PARITY_BATCH_TEXTS]
        with torch.inference_mode():
            expected = model(**padded([encoding.ids for encoding in batch])).logits
        largest = max(largest, float((torch.tensor(engine.run(batch)) - expected).abs().max()))
    return largest
