"""What the report needs and this machine lacks, in one sentence, before anything is measured.

`python -m tests.benchmarks.gpu_report.needs DEVICE` prints it and ends with status 1, or prints the
version of the onnxruntime that runs as JSON. It imports each part itself, so that no list of
packages can be out of date, and runs a graph in a session.
"""

import argparse
import importlib
import json
import os
import re
import sys
import tempfile

from tests.support.cuda import missing_device

PROVIDERS = {"cpu": "CPUExecutionProvider", "cuda": "CUDAExecutionProvider"}
INSTALL = "pip install -c constraints.txt -e '.[gpu,loadtest,dev]'"
MODULES = (
    *("serving.__main__", "serving.server.launch", "serving.server.frontend"),
    *(f"tests.benchmarks.gpu_report.{name}" for name in ("ceiling", "page", "served", "teacher")),
    *("tests.benchmarks.path_cost", "tests.benchmarks.reference_server", "tests.conftest"),
    *("httptools", "uvloop", "pytest", "pytest_asyncio", "pytest_timeout"),
)
_LIBRARY = re.compile(r"\b(lib[\w.-]+\.so[\d.]*): cannot open shared object")


def missing(device):
    """One sentence, or None where nothing is missing."""
    if device == "cuda" and (lacks := missing_device()):
        return lacks
    if packages := missing_packages():
        names = ", ".join(sorted(packages))
        return f"Python packages are missing: {names}: {INSTALL}"
    return missing_provider(device)


def missing_packages(modules=MODULES):
    """The packages without which one of the modules cannot be imported."""
    found = set()
    for module in modules:
        try:
            importlib.import_module(module)
        except ModuleNotFoundError as error:
            found.add(error.name.partition(".")[0].replace("_", "-"))
    return found


def missing_provider(device):
    """Why a session does not run on the device, or None where it does."""
    import numpy as np  # noqa: PLC0415 - only once the packages are known to be there
    import onnxruntime  # noqa: PLC0415

    wanted = PROVIDERS[device]
    if wanted not in onnxruntime.get_available_providers():
        return (
            f"onnxruntime {onnxruntime.__version__} is built without {wanted}: "
            "install onnxruntime-gpu[cuda,cudnn] in its place"
        )
    told = _Told()
    with told:
        if device == "cuda":
            onnxruntime.preload_dlls()
        session = onnxruntime.InferenceSession(_graph(), providers=[wanted])
        found = session.get_providers()[0]
        rows = np.arange(6, dtype=np.float32).reshape(2, 3)
        right = found == wanted and np.allclose(session.run(None, {"x": rows})[0], rows @ rows.T)
    if right:
        return None
    if libraries := sorted(set(_LIBRARY.findall(told.text))):
        names = ", ".join(libraries)
        return f"{names} cannot be loaded: install onnxruntime-gpu[cuda,cudnn] with its extras"
    last = " ".join(told.text.split())[-300:]
    return f"a session asked for {wanted} runs on {found}: {last or 'onnxruntime gives no reason'}"


def _graph():
    from onnx import TensorProto, helper  # noqa: PLC0415 - as above

    nodes = [
        helper.make_node("Transpose", ["x"], ["t"]),
        helper.make_node("MatMul", ["x", "t"], ["y"]),
    ]
    ends = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, ["a", "b"]) for name in ("x", "y")
    ]
    graph = helper.make_graph(nodes, "product", ends[:1], ends[1:])
    opset = [helper.make_opsetid("", 17)]
    return helper.make_model(graph, opset_imports=opset, ir_version=8).SerializeToString()


class _Told:
    """What is written to standard error meanwhile, by libraries too."""

    def __enter__(self):
        sys.stderr.flush()
        self._kept = os.dup(2)
        self._file = tempfile.TemporaryFile()
        os.dup2(self._file.fileno(), 2)
        return self

    def __exit__(self, *_):
        sys.stderr.flush()
        os.dup2(self._kept, 2)
        os.close(self._kept)
        self._file.seek(0)
        self.text = self._file.read().decode(errors="replace")
        self._file.close()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("device", choices=sorted(PROVIDERS))
    if lacks := missing(parser.parse_args().device):
        print(lacks)
        sys.exit(1)
    # Unpacked on PYTHONPATH it is not the version that the environment's metadata names.
    print(json.dumps({"onnxruntime": sys.modules["onnxruntime"].__version__}))


if __name__ == "__main__":
    main()
