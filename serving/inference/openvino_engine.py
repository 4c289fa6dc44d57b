"""The engine on OpenVINO, for CPUs."""

from queue import SimpleQueue
from typing import Any

import numpy as np
import openvino

from serving.bundles.bundle import Bundle
from serving.errors import BundleError, EngineFailed, StartError
from serving.inference.engine import Logits, Resources
from serving.inference.graph_engine import GraphEngine
from serving.inference.ports import Port
from serving.inference.signature import Feed

# OpenVINO's binding builds its type table on first use and releases the GIL while it holds the
# table's C++ guard, so two threads that arrive first deadlock. Build it here, in one thread.
openvino.Type.f32.to_dtype()

_KINDS = {
    "f16": "float16", "bf16": "bfloat16", "f32": "float32", "f64": "float64",
    "i32": "int32", "i64": "int64", "boolean": "bool",
}  # fmt: skip


class OpenVinoEngine(GraphEngine):
    """One compiled graph with one stream per slot, each stream on its own threads.

    OpenVINO computes in bf16 if the processor supports it, otherwise in fp32.
    """

    def __init__(self, bundle: Bundle, resources: Resources) -> None:
        """Load the graph.

        Raises StartError for a device other than the CPU, BundleError if OpenVINO cannot read the
        graph or its inputs are not those of a classifier.
        """
        if resources.device != "cpu":
            raise StartError("SIZEWISE_ENGINE: openvino runs on the CPU only: set onnxruntime")
        self.slots = resources.slots or resources.threads
        options = {
            "PERFORMANCE_HINT": "THROUGHPUT",
            "NUM_STREAMS": self.slots,
            "INFERENCE_NUM_THREADS": resources.threads,
            "ENABLE_CPU_PINNING": False,
        }
        try:
            compiled = openvino.Core().compile_model(bundle.model_path, "CPU", options)
        except RuntimeError as error:
            reason = str(error).strip().splitlines()[-1]
            raise BundleError(f"{bundle.model_path}: OpenVINO cannot read it: {reason}") from error
        super().__init__(
            bundle,
            [_port(node) for node in compiled.inputs],
            [_port(node) for node in compiled.outputs],
        )
        self._output = compiled.output(self._signature.output)
        self._requests: SimpleQueue[openvino.InferRequest] = SimpleQueue()
        for _ in range(self.slots):
            self._requests.put(compiled.create_infer_request())

    def infer(self, feed: Feed) -> Logits:
        """See GraphEngine.infer."""
        request = self._requests.get()
        try:
            return np.array(request.infer(feed, share_inputs=True)[self._output], np.float32)
        except RuntimeError as error:
            shapes = {name: value.shape for name, value in feed.items()}
            raise EngineFailed(f"OpenVINO failed on a batch of {shapes}") from error
        finally:
            self._requests.put(request)


def _port(node: Any) -> Port:
    kind = node.get_element_type().get_type_name()
    shape = node.get_partial_shape()
    sizes = (
        None
        if shape.rank.is_dynamic
        else tuple(None if size.is_dynamic else size.get_length() for size in shape)
    )
    return Port(node.get_any_name(), _KINDS.get(kind, kind), sizes)
