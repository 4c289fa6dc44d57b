"""What fusing and packing an imported graph gains: MiniLM-L6 as exported, and as imported.

`python -m tests.benchmarks.imported_packing`

MiniLM-L6 with a new head is exported by torch.onnx.export, and fused by onnxruntime's optimiser as
a second graph. Each is imported with `--as-is` and without, into build/, beside `own`: the same
weights as `python -m models` exports them. The program compares their logits, times the engine on
batches of mixed lengths in turns, by CPU time, and asks servers in turns with wrk. The last line
is JSON.
"""

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

import numpy as np

from loadtest.measure.subprocesses import exit_on_sigterm
from loadtest.measure.workload import seeded_texts
from serving.bundles.bundle import read_bundle
from serving.inference.engine import Resources
from serving.inference.ort_engine import OrtEngine
from serving.inference.tokenizer import Tokenizer
from tests.benchmarks import wrk
from tests.benchmarks.bench import alone
from tests.benchmarks.path_cost import cpu_s, running, wait_until_idle
from tests.benchmarks.path_servers import Server
from tests.benchmarks.plain_fastapi import export
from tests.support.processes import ROOT

BUILD = ROOT / "build/imported_packing"
FAMILY = "minilm"
VARIANTS = {
    "unfused-as-is": ("unfused", ["--as-is"]), "unfused-imported": ("unfused", []),
    "fused-as-is": ("fused", ["--as-is"]), "fused-imported": ("fused", []),
}  # fmt: skip
OWN = "own"
BATCH_TEXTS = 16


def import_graphs():
    """The bundles by name, made and imported where they are not yet."""
    registry = BUILD / "registry"
    bundles = {name: registry / FAMILY / name for name in (*VARIANTS, OWN)}
    if all((bundle / "manifest.json").is_file() for bundle in bundles.values()):
        return bundles
    with tempfile.TemporaryDirectory() as folder:
        sources = {each: Path(folder) / each for each in ("unfused", "fused")}
        export(sources["unfused"], sources["fused"])
        fuse(sources["unfused"] / "model.onnx", sources["fused"] / "model.onnx")
        for name, (source, options) in VARIANTS.items():
            subprocess.run(
                [
                    sys.executable, "-m", "models", "import", str(sources[source]), *options,
                    "--family", FAMILY, "--variant", name, "--registry", str(registry),
                ],
                cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)}, check=True, timeout=300,
            )  # fmt: skip
        export_own(bundles["unfused-as-is"], bundles[OWN])
    return bundles


def export_own(source, target):
    from transformers import AutoConfig  # noqa: PLC0415 (only where there are no graphs)

    from models.graphs import fusion  # noqa: PLC0415
    from serving.bundles.bundle import MODEL_NAME, write_manifest  # noqa: PLC0415

    imported = read_bundle(source).manifest
    shutil.copytree(source, target, dirs_exist_ok=True)
    (target / MODEL_NAME).unlink()
    fusion.fuse(source / MODEL_NAME, AutoConfig.from_pretrained(source), target / MODEL_NAME)
    kept = ("labels", "problem_type", "max_length", "pad_token_id", "precision", "parameters")
    fields = {name: getattr(imported, name) for name in kept}
    write_manifest(target, family=FAMILY, variant=OWN, **fields)


def fuse(source, target):
    from onnxruntime.transformers import optimizer  # noqa: PLC0415 (only where there are no graphs)
    from onnxruntime.transformers.fusion_options import FusionOptions  # noqa: PLC0415

    options = FusionOptions("bert")
    options.enable_embed_layer_norm = False
    fused = optimizer.optimize_model(
        str(source), model_type="bert", num_heads=12, hidden_size=384,
        optimization_options=options, opt_level=0,
    )  # fmt: skip
    fused.save_model_to_file(str(target))


def offline(bundles, texts, rounds):
    """Texts a second of one core by bundle, and the largest difference of a logit from the first's.

    The texts are run in batches as they come, in turns.
    """
    runs, logits = {name: [] for name in bundles}, {}
    opened = {name: read_bundle(bundle) for name, bundle in bundles.items()}
    engines = {name: OrtEngine(each, Resources("cpu", threads=1)) for name, each in opened.items()}
    first = next(iter(opened.values()))
    encodings = Tokenizer(first.tokenizer_path, first.manifest.max_length).encode(texts)
    starts = range(0, len(encodings), BATCH_TEXTS)
    for _ in range(rounds):
        for name, engine in engines.items():
            began_s = time.thread_time()
            found = [engine.run(encodings[start : start + BATCH_TEXTS]) for start in starts]
            runs[name].append(len(texts) / (time.thread_time() - began_s))
            logits[name] = np.concatenate(found)
    expected = next(iter(logits.values()))
    differences = {name: float(np.abs(each - expected).max()) for name, each in logits.items()}
    return runs, differences


def served(bundles, texts, arguments):
    """Texts a second, and texts a second of the server's CPU time, by bundle: a list of rounds."""
    bodies = [{"texts": [text], "truncate": True} for text in texts]
    rates, by_cpu = ({name: [] for name in bundles} for _ in range(2))
    with tempfile.TemporaryDirectory() as scratch, ExitStack() as stack:
        started = {}
        for name, bundle in bundles.items():
            folder = Path(scratch) / name
            folder.mkdir()
            environ = {
                "PYTHONPATH": str(ROOT), "SIZEWISE_REGISTRY": str(alone(bundle, folder)),
                "SIZEWISE_ENGINE": "onnxruntime",
            }  # fmt: skip
            server = Server([sys.executable, "-m", "serving"], ROOT, environ)
            started[name] = stack.enter_context(
                running(name, server, json.dumps(bodies[0]).encode())
            )
        for _ in range(arguments.rounds):
            for name, (process, url) in started.items():
                before_s = sum(cpu_s(process).values())
                found = wrk.run(url, Path(scratch), bodies, arguments.clients, arguments.seconds)
                wait_until_idle(process)
                used_s = sum(cpu_s(process).values()) - before_s
                rates[name].append(found["requests"] / found["seconds"])
                by_cpu[name].append(found["requests"] / used_s)
    return rates, by_cpu


def medians(runs, baselines):
    """The median by name, with the median of the ratios to the baseline in each round."""
    return {
        name: {
            "texts_per_s": statistics.median(each),
            "ratio": statistics.median(
                a / b for a, b in zip(each, runs[baselines[name]], strict=True)
            ),
        }
        for name, each in runs.items()
    }


def main():
    exit_on_sigterm()
    arguments = parse()
    bundles = import_graphs()
    texts = seeded_texts(arguments.texts, seed=0)
    baselines = {name: f"{source}-as-is" for name, (source, _) in VARIANTS.items()}
    baselines[OWN] = "unfused-imported"
    runs, differences = offline(bundles, texts, arguments.rounds)
    result = {"offline": medians(runs, baselines), "logits differ by": differences}
    if arguments.clients:
        rates, by_cpu = served(bundles, texts, arguments)
        result["served"] = medians(rates, baselines)
        result["served, by CPU time"] = medians(by_cpu, baselines)
    for place in ("offline", "served", "served, by CPU time"):
        for name, each in result.get(place, {}).items():
            print(f"{place}, {name}: {each['texts_per_s']:.0f} texts/s, {each['ratio']:.2f} times")
    print(json.dumps(result))


def parse():
    parser = argparse.ArgumentParser(
        prog="python -m tests.benchmarks.imported_packing",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--clients", type=int, default=32, help="0 measures offline alone")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--texts", type=int, default=128)
    parser.add_argument("--seconds", type=int, default=3, help="of each measurement with clients")
    wrk.require(parser)
    return parser.parse_args()


if __name__ == "__main__":
    main()
