"""The engine on OpenVINO, for CPUs."""

import sys
from collections.abc import Sequence
from contextlib import suppress
from queue import SimpleQueue
from typing import Any

import numpy as np
import openvino

from serving.bundles.bundle import Bundle
from serving.bundles.graph_files import weights_files
from serving.bundles.ports import Port
from serving.errors import BundleError, EngineFailed, StartError
from serving.inference.engine import Logits, Resources
from serving.inference.graph_engine import GraphEngine
from serving.inference.inputs import Encoding, Item
from serving.inference.ort_engine import OrtEngine
from serving.inference.signature import Feed

# OpenVINO's binding builds its type table on first use and releases the GIL while it holds the
# table's C++ guard, so two threads that arrive first deadlock. Build it here, in one thread.
openvino.Type.f32.to_dtype()

# Operators that hand their input on in another type or shape.
_SAME_NUMBERS = {"Convert", "Reshape", "Squeeze", "Unsqueeze"}
_KINDS = {
    "f16": "float16", "bf16": "bfloat16", "f32": "float32", "f64": "float64",
    "i32": "int32", "i64": "int64", "boolean": "bool",
}  # fmt: skip
_END_OF_OUTPUT = "/sink_port_0"


class OpenVinoEngine(GraphEngine):
    """One compiled graph with one stream per slot, each stream on its own threads.

    OpenVINO computes in bf16 if the processor supports it, otherwise in fp32. What a quantized
    graph does not do in int8 it does in fp32: with bf16 its answers to texts of exactly 16 tokens
    were wrong on a processor with AMX (2026.4.1).
    """

    def __init__(self, bundle: Bundle, resources: Resources) -> None:
        """Load the graph.

        Raises StartError for a device other than the CPU, BundleError if OpenVINO cannot read the
        graph or its inputs are not those of a classifier.
        """
        if resources.device != "cpu":
            raise StartError("SIZEWISE_ENGINE: openvino runs on the CPU only: set onnxruntime")
        self.slots = resources.slots or resources.threads
        self.preempts = False  # a run waits for one of the streams
        options = {
            "PERFORMANCE_HINT": "THROUGHPUT",
            "NUM_STREAMS": self.slots,
            "INFERENCE_NUM_THREADS": resources.threads,
            "ENABLE_CPU_PINNING": False,
        }
        core = openvino.Core()
        # Who writes into a file that is mapped into memory changes answers, or ends the process.
        core.set_property({"ENABLE_MMAP": False})
        weights_files(bundle)  # OpenVINO reads whatever the graph names
        try:
            model = core.read_model(bundle.model_path)
            self._embedding_rows = _embedding_rows(model)
            if any(node.get_type_name() == "FakeQuantize" for node in model.get_ops()):
                options["INFERENCE_PRECISION_HINT"] = "f32"
            compiled = core.compile_model(model, "CPU", options)
        except RuntimeError as error:
            reason = str(error).strip().splitlines()[-1]
            raise BundleError(f"{bundle.model_path}: OpenVINO cannot read it: {reason}") from error
        super().__init__(
            bundle,
            [_port(node) for node in compiled.inputs],
            [_port(node) for node in compiled.outputs],
        )
        self.computing: str = compiled.get_property("INFERENCE_PRECISION_HINT").get_type_name()
        self._bundle = bundle
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

    def run_checked(self, batch: Sequence[Item]) -> Logits:
        """See Engine.run_checked: OpenVINO reads zeros beyond a table, ids and positions alike."""
        for item in batch:
            if isinstance(item, Encoding) and max(item.ids) >= self._embedding_rows:
                raise EngineFailed(
                    f"token id {max(item.ids)} is beyond the embedding's "
                    f"{self._embedding_rows:,} rows"
                )
        with suppress(BundleError):  # a graph that only OpenVINO reads
            OrtEngine(self._bundle, Resources("cpu", 1)).run(batch)
        return self.run(batch)


def _embedding_rows(model: openvino.Model) -> int:
    """Return the rows of the smallest table that `input_ids` index, as far as that can be read."""
    waiting = [port for port in model.inputs if "input_ids" in port.get_names()]
    rows = []
    while waiting:
        for reader in waiting.pop().get_target_inputs():
            node = reader.get_node()
            kind = node.get_type_name()
            if kind == "Gather" and reader.get_index() == 1:
                table = node.input(0).get_partial_shape()
                axis = node.input_value(2).get_node()
                if table.is_static and axis.get_type_name() == "Constant":
                    rows.append(table.to_shape()[int(axis.get_data().item())])
            elif kind in _SAME_NUMBERS:
                waiting += node.outputs()
    return min(rows, default=sys.maxsize)


def _port(node: Any) -> Port:
    kind = node.get_element_type().get_type_name()
    shape = node.get_partial_shape()
    sizes = (
        None
        if shape.rank.is_dynamic
        else tuple(None if size.is_dynamic else size.get_length() for size in shape)
    )
    # A tensor also has the names of what was simplified away beside it, such as a cast.
    given = node.get_node().get_friendly_name().removesuffix(_END_OF_OUTPUT)
    name = given if given in node.get_names() else node.get_any_name()
    return Port(name, _KINDS.get(kind, kind), sizes)
