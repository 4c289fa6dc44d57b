"""The engine on ONNX Runtime, for CPUs and CUDA."""

from collections.abc import Sequence

import numpy as np
import onnxruntime

from serving.bundles.bundle import Bundle
from serving.bundles.graph_files import weights_files
from serving.bundles.ports import Port
from serving.errors import BundleError, EngineFailed, StartError
from serving.inference.cpu import has_vnni
from serving.inference.engine import Device, Logits, Resources
from serving.inference.graph_engine import GraphEngine
from serving.inference.inputs import Item
from serving.inference.signature import Feed

_PROVIDERS = {"cpu": "CPUExecutionProvider", "cuda": "CUDAExecutionProvider"}
_CUDA_SLOTS = 2
_KINDS = {"float": "float32", "double": "float64"}
_SEVERITY_ERROR = 3


class OrtEngine(GraphEngine):
    """One ONNX Runtime session, shared by `slots` threads (`InferenceSession.run` is thread-safe).

    On a CPU with as many slots as cores each run has a single thread, which is faster for batches
    than several threads per run. On CUDA two slots keep the device busy while the next batch is
    prepared; more batches would only need more of its memory.
    """

    def __init__(self, bundle: Bundle, resources: Resources) -> None:
        """Load the graph.

        Raises StartError if the device is missing, BundleError if the graph is not ONNX, does not
        load or its inputs are not those of a classifier.
        """
        if bundle.model_path.suffix != ".onnx":
            raise BundleError(f"{bundle.model_path} is OpenVINO's: set SIZEWISE_ENGINE to auto")
        device = resources.device
        slots = resources.slots or resources.threads
        self.slots = slots if device == "cpu" else _CUDA_SLOTS
        self.preempts = device == "cpu"
        self._bundle = bundle
        self._device = device
        self.computing = "" if device == "cpu" else device
        provider = _PROVIDERS[device]
        if device == "cuda":
            onnxruntime.preload_dlls()
        if provider not in onnxruntime.get_available_providers():
            raise _no_device(device)
        options = _session_options(resources.threads // slots)
        try:
            weights = _read_weights(bundle, options)
            self._session = onnxruntime.InferenceSession(
                bundle.model_path,
                options,
                providers=[(provider, provider_options(resources))],
            )
        except BundleError:
            raise
        except Exception as error:  # onnxruntime raises many bare types
            raise BundleError(f"{bundle.model_path} does not load: {error}") from error
        del weights
        if self._session.get_providers()[0] != provider:
            raise _no_device(device)
        super().__init__(
            bundle,
            [_port(node) for node in self._session.get_inputs()],
            [_port(node) for node in self._session.get_outputs()],
        )

    def infer(self, feed: Feed) -> Logits:
        """See GraphEngine.infer."""
        try:
            answer = self._session.run([self._signature.output], feed)[0]
        except Exception as error:  # onnxruntime raises many bare types
            shapes = {name: value.shape for name, value in feed.items()}
            raise EngineFailed(f"ONNX Runtime failed on a batch of {shapes}") from error
        return np.asarray(answer, np.float32)

    def run_checked(self, batch: Sequence[Item]) -> Logits:
        """See Engine.run_checked: on a CPU, ONNX Runtime checks ids itself."""
        if self._device != "cpu":
            OrtEngine(self._bundle, Resources("cpu", 1)).run(batch)
        return self.run(batch)


def _port(node: onnxruntime.NodeArg) -> Port:
    kind = node.type.removeprefix("tensor(").removesuffix(")")
    # A list without sizes is that of a number, or the shape is not known.
    sizes = [size if isinstance(size, int) and size > 0 else None for size in node.shape]
    return Port(node.name, _KINDS.get(kind, kind), tuple(sizes) or None)


def _no_device(device: Device) -> StartError:
    return StartError(
        f"SIZEWISE_DEVICE: {device} is not usable here: "
        "install the gpu extra and the CUDA driver, or set cpu"
    )


def provider_options(resources: Resources) -> dict[str, str]:
    """Return the options of ONNX Runtime's CUDA provider; none for the CPU.

    The arena grows by what a batch needs instead of doubling, so the limit can be used up.
    """
    if resources.device == "cpu":
        return {}
    options = {"arena_extend_strategy": "kSameAsRequested"}
    if resources.gpu_memory_bytes:
        options["gpu_mem_limit"] = str(resources.gpu_memory_bytes)
    return options


def _read_weights(bundle: Bundle, options: onnxruntime.SessionOptions) -> list[bytes]:
    """Read the files of weights beside the graph; keep what is returned until the graph is loaded.

    ONNX Runtime would map them into memory: whoever truncates one under a running server ends it
    by SIGBUS, and whoever writes into one changes its answers.
    """
    files = weights_files(bundle)
    contents = [path.read_bytes() for path in files.values()]
    if files:
        sizes = list(map(len, contents))
        options.add_external_initializers_from_files_in_memory(list(files), contents, sizes)
    return contents


def _session_options(run_threads: int) -> onnxruntime.SessionOptions:
    """Threads per run, no spinning, and no memory pattern, since shapes vary."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = run_threads
    options.inter_op_num_threads = 1
    options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
    options.enable_mem_pattern = False
    options.log_severity_level = _SEVERITY_ERROR
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    if not has_vnni():
        # Without VNNI the fast int8 kernels saturate; the exact ones run at half the speed.
        options.add_session_config_entry("session.x64quantprecision", "1")
    return options
