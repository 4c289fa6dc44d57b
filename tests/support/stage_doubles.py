"""Stages and a quantizer that stand in for real ones."""

import shutil

import numpy as np
import onnx

from serving.errors import BundleError


def zeroed(_scheme, source, output, _kept, **_options):
    """Write a graph that gives every text the same logits."""
    model = onnx.load(source)
    for tensor in model.graph.initializer:
        if "classifier.weight" in tensor.name or tensor.name.startswith("onnx::MatMul"):
            zeros = np.zeros(tuple(tensor.dims), dtype=np.float32)
            tensor.CopyFrom(onnx.numpy_helper.from_array(zeros, tensor.name))
    onnx.save(model, output)


def broken(_job):
    raise RuntimeError("on purpose")


def refusing(job):
    raise BundleError(f"{job.output}/config.json is of no use")


def same_again(job):
    """Make what the stage has made before."""
    before = job.output.with_name(job.output.name.removeprefix("."))
    shutil.copytree(before, job.output, dirs_exist_ok=True)
