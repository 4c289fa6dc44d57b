"""Exports weights to one ONNX graph that answers as torch does, fused, as an unscored bundle.

It does not know how the weights were trained, nor what the graph will be quantised to.
"""

import os
from collections import Counter
from pathlib import Path

import onnx
import torch
from onnxruntime.transformers import optimizer
from onnxruntime.transformers.fusion_options import FusionOptions
from transformers import PretrainedConfig, PreTrainedModel

from models.data.labelled import read_labels, read_split
from models.graphs.packing import PACKABLE, pack
from models.graphs.trace import trace
from models.pipeline import Job
from models.progress import progress
from models.recipe import RecipeError
from models.recipe_sections import ExportSection
from models.training.architecture import head_size, kept_heads, load_classifier
from models.training.loop import padded
from serving.bundles.bundle import CONFIG_NAME, MODEL_NAME, TOKENIZER_NAME, Bundle, write_manifest
from serving.inference.engine import Resources
from serving.inference.ort_engine import OrtEngine
from serving.inference.tokenizer import Tokenizer

_PARITY_TEXTS = 256
_PARITY_BATCH_TEXTS = 8


def run(job: Job) -> None:
    """Write model.onnx, tokenizer.json, config.json and a manifest without evaluations.

    Raises RecipeError when there is no graph of the model, or one that differs from torch by more
    than the recipe's tolerance, or one that is less fused than its architecture's should be.
    """
    section = job.recipe.export or ExportSection()
    torch.set_num_threads(len(os.sched_getaffinity(0)))
    weights = job.inputs["weights"]
    # "eager" attention is the form that the fusions recognise.
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
        max_length=job.root.max_length,
        pad_token_id=model.config.pad_token_id or 0,
        precision="fp32",
        parameters=sum(parameter.numel() for parameter in model.parameters()),
        parent=job.recipe.parent,
    )
    texts = [row.text for row in read_split(job.inputs["data"], "validation")][:_PARITY_TEXTS]
    difference = largest_difference(model, Bundle(job.output, manifest), texts)
    print(f"ONNX and torch differ by at most {difference:.1e} of a logit")
    if difference > section.tolerance:
        raise RecipeError(
            f"{job.recipe.variant}: export: the graph's logits differ from torch's by "
            f"{difference:.1e}, more than the tolerance {section.tolerance:.1e}: "
            "raise it only if the answers agree, or try other versions of torch and onnxruntime"
        )


def fuse(plain: Path, config: PretrainedConfig, target: Path) -> None:
    """Optimise a traced graph and pack it, or say why it stays as it is.

    Raises RecipeError naming the operator that is missing where the architecture is known to be
    fused: such a graph runs, but slowly.
    """
    options = FusionOptions("bert")
    # The fused form takes no positions in QEmbedLayerNormalization.
    options.enable_embed_layer_norm = False
    optimised = optimizer.optimize_model(
        str(plain),
        model_type="bert",
        num_heads=kept_heads(config),
        # The width of the heads together: pruning may have left less than the hidden size.
        hidden_size=kept_heads(config) * head_size(config),
        optimization_options=options,
        opt_level=0,
    )
    found = Counter(node.op_type for node in optimised.model.graph.node)
    if config.model_type in PACKABLE:
        for name, count in _expected(config).items():
            if found[name] != count:
                raise RecipeError(
                    f"the graph has {found[name]} {name} instead of {count}: "
                    "the optimiser does not know how this version of transformers is traced"
                )
        pack(optimised, config)
    else:
        print(
            f"{config.model_type} is not known to onnxruntime's optimiser: {found['Attention']} "
            f"of {config.num_hidden_layers} attentions are fused and texts are padded, so it "
            "answers more slowly"
        )
    optimised.save_model_to_file(str(target))
    onnx.checker.check_model(str(target))


def _expected(config: PretrainedConfig) -> dict[str, int]:
    layers = config.num_hidden_layers
    activation = getattr(config, "hidden_act", None) or getattr(config, "activation", None)
    return {
        "Attention": layers,
        "SkipLayerNormalization": 2 * layers,
        "BiasGelu": layers if activation == "gelu" else 0,
    }


def largest_difference(model: PreTrainedModel, bundle: Bundle, texts: list[str]) -> float:
    """The largest difference of a logit between torch and the bundle, in batches."""
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
