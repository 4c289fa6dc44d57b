"""Quantises a bundle's weights to int8, unless that costs more accuracy than the recipe allows.

It does not know how the fp32 bundle was made; activations are quantised when the graph runs.
"""

import logging
import shutil
from pathlib import Path

import numpy as np
import onnx
from onnxruntime.quantization import QuantType, quantize_dynamic

from models.answers import probabilities
from models.data import read_split
from models.recipe import RecipeError
from models.workshop import Job
from serving.bundle import (
    CONFIG_NAME,
    MODEL_NAME,
    TOKENIZER_NAME,
    Bundle,
    read_bundle,
    write_manifest,
)

_QUANTISED = ("Attention", "MatMul", "EmbedLayerNormalization")


def run(job: Job) -> None:
    """Write the int8 bundle, without evaluations.

    Raises RecipeError when it loses more than `max_accuracy_drop` on validation.
    """
    section = job.recipe.quantize
    assert section is not None
    parent = read_bundle(job.inputs["parent"])
    for name in (CONFIG_NAME, TOKENIZER_NAME):
        shutil.copyfile(parent.folder / name, job.output / name)
    to_int8(parent.model_path, job.output / MODEL_NAME)
    fields = parent.manifest.model_dump(exclude={"version", "bytes", "files"}) | {
        "variant": job.recipe.variant,
        "parent": job.recipe.parent,
        "precision": "int8",
    }
    bundle = Bundle(job.output, write_manifest(job.output, **fields))
    texts = read_split(job.inputs["data"], "validation")
    truth = np.array([row.label for row in texts])
    before, after = (
        float((probabilities(it, [row.text for row in texts]).argmax(axis=1) == truth).mean())
        for it in (parent, bundle)
    )
    print(f"validation: accuracy {before:.4f} as fp32, {after:.4f} as int8")
    if before - after > section.max_accuracy_drop:
        raise RecipeError(
            f"{job.recipe.variant}: quantize: int8 loses {before - after:.4f} of accuracy on "
            f"validation, more than max_accuracy_drop {section.max_accuracy_drop}: "
            "distil longer or allow more"
        )


def to_int8(source: Path, target: Path) -> None:
    """Quantise the weights of a fused graph, embeddings included, one scale a channel."""
    # Its warning, to pre-process first, is meant for graphs that are not fused yet.
    logging.getLogger().setLevel(logging.ERROR)
    quantize_dynamic(
        source,
        target,
        op_types_to_quantize=list(_QUANTISED),
        per_channel=True,
        weight_type=QuantType.QInt8,
        # The fused operators have no shape inference; everything between them is fp32.
        extra_options={"DefaultTensorType": onnx.TensorProto.FLOAT},
    )
    onnx.checker.check_model(str(target))
