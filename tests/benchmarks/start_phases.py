"""Where the CPU time of a start with tuning files goes, and what an optimized graph would save.

`python -m tests.benchmarks.start_phases REGISTRY TUNING`, after `python -m serving tune` of that
registry and folder

Prints median CPU seconds: of each step of a start, in new processes that do the same steps; then of
loading each graph as it is, and as ONNX Runtime or OpenVINO would keep it. Each engine is that of
its file.
"""

# ruff: noqa: PLC0415  imports are measured

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager, suppress
from pathlib import Path

RUNS = 7


def steps(registry, folder, engine):
    """The CPU seconds of each step, in this process, which has imported nothing yet."""
    seconds = {"Python": time.process_time()}

    @contextmanager
    def step(name):
        began_s = time.process_time()
        yield
        seconds[name] = time.process_time() - began_s

    with step("imports"):
        import serving.__main__
        import serving.server.launch
        from serving.bundles.bundle import verify
        from serving.bundles.registry import read_registry
        from serving.inference.engine_selection import ENGINES
        from serving.inference.tokenizer import open_tokenizer
        from serving.inference.tuned_choice import kept_tuning, resources_of, restored
        from serving.settings import Settings
    settings = Settings(registry=(registry,), tuning=folder, engine=engine)
    with step("registry and tuning files"):
        bundles = [each for its in read_registry(registry, ()).values() for each in its]
        tunings = [kept_tuning(bundle, settings) for bundle in bundles]
    with step("verifying the hashes"):
        for bundle in bundles:
            verify(bundle)
    with step("opening the tokenizers"):
        tokenizers = [open_tokenizer(bundle) for bundle in bundles]
    if "openvino" in {tuning.engine for tuning in tunings}:
        with step("importing OpenVINO"):
            import serving.inference.openvino_engine  # noqa: F401
    each = list(zip(tunings, bundles, tokenizers, strict=True))
    with step("loading the engines"):
        engines = [
            ENGINES[tuning.engine](bundle, resources_of(settings)) for tuning, bundle, _ in each
        ]
    del engines
    with step("loading them and checking what was kept"):
        for tuning, bundle, tokenizer in each:
            assert restored(tuning, bundle, tokenizer, settings), "the files do not fit"
    return seconds


def loads(path, scratch):
    """Kinds of a graph, each with what loads it."""
    import onnxruntime
    import openvino

    def options(**fields):
        made = onnxruntime.SessionOptions()
        made.intra_op_num_threads = 1
        made.log_severity_level = 3
        for name, value in fields.items():
            setattr(made, name, value)
        return made

    def session(which, how):
        return onnxruntime.InferenceSession(which, how, providers=["CPUExecutionProvider"])

    plain, own = scratch / "optimized.onnx", scratch / "optimized.ort"
    session(path, options(optimized_model_filepath=str(plain)))
    in_own_format = options(optimized_model_filepath=str(own))
    in_own_format.add_session_config_entry("session.save_model_format", "ORT")
    session(path, in_own_format)
    off = {"graph_optimization_level": onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL}
    core = openvino.Core()
    core.set_property({"ENABLE_MMAP": False})
    streams = {"PERFORMANCE_HINT": "THROUGHPUT", "NUM_STREAMS": os.cpu_count()}

    def compiled():
        return core.compile_model(core.read_model(path), "CPU", streams)

    found = {
        "ONNX Runtime": lambda: session(path, options()),
        "ONNX Runtime, optimized before": lambda: session(plain, options(**off)),
        "ONNX Runtime, its own format": lambda: session(own, options(**off)),
    }
    with suppress(RuntimeError):  # OpenVINO cannot read every graph
        exported = compiled().export_model()
        found["OpenVINO"] = compiled
        found["OpenVINO, compiled before"] = lambda: core.import_model(exported, "CPU", streams)
    return found


def cpu_s(load):
    began_s = time.process_time()
    load()
    return time.process_time() - began_s


def main():
    arguments = parse()
    if arguments.once:
        print(json.dumps(steps(arguments.registry, arguments.tuning, arguments.engine)))
        return
    command = [sys.executable, "-m", "tests.benchmarks.start_phases", *sys.argv[1:], "--once"]
    found = [json.loads(subprocess.check_output(command).splitlines()[-1]) for _ in range(RUNS)]
    for name in found[0]:
        print(f"{statistics.median(each[name] for each in found):.3f} s: {name}", flush=True)
    for path in sorted(arguments.registry.glob("*/*/model.onnx")):
        print(path.parent.name)
        with tempfile.TemporaryDirectory() as scratch:
            for name, load in loads(path, Path(scratch)).items():
                median = statistics.median(cpu_s(load) for _ in range(RUNS))
                print(f"  {median:.3f} s: {name}", flush=True)


def parse():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("registry", type=Path)
    parser.add_argument("tuning", type=Path)
    parser.add_argument("--engine", default="auto", choices=("auto", "onnxruntime", "openvino"))
    parser.add_argument("--once", action="store_true", help=argparse.SUPPRESS)
    return parser.parse_args()


if __name__ == "__main__":
    main()
