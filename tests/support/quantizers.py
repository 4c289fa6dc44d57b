"""A quantizer that loses everything, for a stage that must refuse its result."""

import numpy as np
import onnx


def zeroed(_scheme, source, output, _kept, **_options):
    """Write a graph that gives every text the same logits."""
    model = onnx.load(source)
    for tensor in model.graph.initializer:
        if "classifier.weight" in tensor.name or tensor.name.startswith("onnx::MatMul"):
            zeros = np.zeros(tuple(tensor.dims), dtype=np.float32)
            tensor.CopyFrom(onnx.numpy_helper.from_array(zeros, tensor.name))
    onnx.save(model, output)
