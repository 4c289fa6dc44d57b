"""What the report needs and this machine lacks, in one sentence, before anything is measured.

`python -m tests.benchmarks.gpu_report.needs DEVICE` prints it and ends with status 1, or prints the
version of the onnxruntime that runs as JSON. It imports each part itself, so that no list of
packages can be out of date, and runs a graph in a session.
"""

import argparse
import ctypes
import importlib
import importlib.util
import json
import os
import re
import sys
import tempfile
import tomllib
from pathlib import Path

from tests.benchmarks.gpu_report.parts import ROOT, gpu_test_files
from tests.support.cuda import missing_device

PROVIDERS = {"cpu": "CPUExecutionProvider", "cuda": "CUDAExecutionProvider"}
INSTALL = "pip install -c constraints.txt -e '.[gpu,loadtest,dev]'"
MODULES = (
    *("serving.__main__", "serving.server.launch", "serving.server.frontend"),
    *(f"tests.benchmarks.gpu_report.{name}" for name in ("ceiling", "page", "served", "teacher")),
    *("tests.benchmarks.path_cost", "tests.benchmarks.reference_server", "tests.conftest"),
    *("pytest", "pytest_asyncio", "pytest_timeout"),
    *(".".join(path.with_suffix("").parts) for path in gpu_test_files()),
)
_CUDNN = "libcudnn.so.9"
_LIBRARY = re.compile(r"\b(lib[\w.-]+\.so[\d.]*): cannot open shared object")


def missing(device):
    """One sentence, or None where nothing is missing."""
    if device == "cuda" and (lacks := missing_device()):
        return lacks
    if packages := missing_packages((*declared(), *MODULES)):
        names = ", ".join(sorted(packages))
        return f"Python packages are missing: {names}: {INSTALL}"
    return missing_provider(device)


def declared():
    """The modules of the server's own dependencies, all of which are named like their package."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    names = [re.match(r"[\w-]+", each)[0] for each in project["dependencies"]]
    return [name.replace("-", "_") for name in names]


def missing_packages(modules=MODULES):
    """The packages without which one of the modules cannot be imported.

    What these need in turn comes to light once they are there.
    """
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
        rows = np.arange(6, dtype=np.float32).reshape(2, 3)
        try:
            session = onnxruntime.InferenceSession(_graph(), providers=[wanted])
            product = session.run(None, {"x": rows})[0]
        except Exception as error:  # noqa: BLE001 - onnxruntime raises many bare types
            found, right = f"nothing: {error}", False
        else:
            found, right = session.get_providers()[0], np.allclose(product, rows @ rows.T)
    runs = found == wanted and right
    libraries = set() if runs else set(_LIBRARY.findall(told.text))
    if device == "cuda" and not _loads(_CUDNN):
        libraries.add(_CUDNN)
    if libraries:
        return (
            f"{', '.join(sorted(libraries))} cannot be loaded: install "
            "onnxruntime-gpu[cuda,cudnn] with its extras, or add the folders to LD_LIBRARY_PATH"
        )
    if runs:
        return None
    reason = " ".join(told.text.split())[-300:] or "onnxruntime gives no reason"
    if found == wanted:
        return f"a session on {wanted} computes a wrong product: {reason}"
    return f"a session asked for {wanted} runs on {' '.join(found.split())}: {reason}"


def _loads(library):
    try:
        ctypes.CDLL(library)
    except OSError:
        return False
    return True


def library_folders():
    """The CUDA libraries of NVIDIA's packages, wherever on the path these are.

    onnxruntime looks for them beside itself, which fails where it was unpacked into a folder.
    """
    spec = importlib.util.find_spec("nvidia")
    places = spec.submodule_search_locations if spec else ()
    return [str(folder) for place in places for folder in sorted(Path(place).glob("*/lib"))]


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
    """What is written to standard output and error meanwhile, by libraries too."""

    def __enter__(self):
        self._flush()
        self._kept = [os.dup(number) for number in (1, 2)]
        self._file = tempfile.TemporaryFile()
        for number in (1, 2):
            os.dup2(self._file.fileno(), number)
        return self

    def __exit__(self, *_):
        self._flush()
        for number, kept in enumerate(self._kept, 1):
            os.dup2(kept, number)
            os.close(kept)
        self._file.seek(0)
        self.text = self._file.read().decode(errors="replace")
        self._file.close()

    @staticmethod
    def _flush():
        sys.stdout.flush()
        sys.stderr.flush()


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
