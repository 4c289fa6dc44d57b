"""Sizewise beside what one writes with FastAPI, over the same graphs.

`python -m tests.benchmarks.plain_fastapi`

MiniLM-L6 with a new classification head is exported to ONNX in fp32 and, quantized by ONNX
Runtime, in int8, and imported by `python -m models import`, into build/. Sizewise serves it as it
was imported, and the peers of tests/benchmarks/fastapi_peers.py as it was exported, on ONNX Runtime
with the same session options; wrk asks them in turns, one text a request. CPU a text bears other
work on the machine better than the rates do. The last line is JSON: by graph, clients and server
the medians, and for each peer the medians of Sizewise's ratios to it in a round.
"""

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path

import httpx

from loadtest.measure.subprocesses import exit_on_sigterm
from loadtest.measure.workload import seeded_texts
from tests.benchmarks import wrk
from tests.benchmarks.bench import alone
from tests.benchmarks.path_cost import cpu_s, integers, running, wait_until_idle
from tests.benchmarks.path_servers import Server
from tests.support.processes import ROOT

BUILD = ROOT / "build/plain_fastapi"
FAMILY = "minilm"
PEERS = ("plain", "plain_async", "batcher")
TEXTS = 1024
WARM_UP_S = 1
COMPARED_TEXTS = 32
# One text at a time is the same graph, session and input; only the softmax is another.
MOST_DIFFERENT = 1e-4
KEYS = ("texts_per_s", "p50_ms", "p99_ms", "cpu_ms")
RATIOS = ("texts_per_s", "p99_ms", "cpu_ms")


def import_graphs():
    """The bundle and the folder of the export by precision, made where they are not yet."""
    registry, exports = BUILD / "registry", BUILD / "exports"
    graphs = {each: (registry / FAMILY / each, exports / each) for each in ("fp32", "int8")}
    if all((bundle / "manifest.json").is_file() for bundle, _ in graphs.values()) and all(
        (exported / "model.onnx").is_file() for _, exported in graphs.values()
    ):
        return graphs
    shutil.rmtree(BUILD, ignore_errors=True)
    export(exports / "fp32", exports / "int8")
    for precision, (_, exported) in graphs.items():
        subprocess.run(
            [
                sys.executable, "-m", "models", "import", str(exported),
                "--family", FAMILY, "--variant", precision, "--registry", str(registry),
            ],
            cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)}, check=True, timeout=300,
        )  # fmt: skip
    return graphs


def export(fp32, int8):
    """Write both graphs as one would export them: padded, and with ONNX Runtime's own quantizer."""
    import torch  # noqa: PLC0415 (only where there are no graphs yet)
    from transformers import AutoModelForSequenceClassification  # noqa: PLC0415

    from models.data.downloads import fetch  # noqa: PLC0415
    from models.graphs.quantizers import quantize_graph  # noqa: PLC0415
    from models.graphs.trace import trace  # noqa: PLC0415
    from models.recipe import RecipeError  # noqa: PLC0415

    try:
        base = fetch(ROOT / "build/cache", ["base"]) / "base"
    except RecipeError as error:
        sys.exit(str(error))
    torch.manual_seed(0)
    model = AutoModelForSequenceClassification.from_pretrained(
        base, id2label={0: "negative", 1: "positive"}, attn_implementation="eager"
    )
    for folder in (fp32, int8):
        folder.mkdir(parents=True)
        model.config.save_pretrained(folder)
        (folder / "tokenizer.json").write_bytes((base / "tokenizer.json").read_bytes())
    trace(model, fp32 / "model.onnx")
    quantize_graph("int8-dynamic", fp32 / "model.onnx", int8 / "model.onnx")


def servers(bundle, exported, folder):
    """Sizewise and its peers by name."""
    registry = str(alone(bundle, folder))
    environ = {"PYTHONPATH": str(ROOT), "PEER_BUNDLE": str(bundle), "PEER_EXPORT": str(exported)}
    sizewise = environ | {"SIZEWISE_REGISTRY": registry, "SIZEWISE_ENGINE": "onnxruntime"}
    module = "tests.benchmarks.fastapi_peers"
    return {"sizewise": Server([sys.executable, "-m", "serving"], ROOT, sizewise)} | {
        peer: Server([sys.executable, "-m", module, peer, "{port}"], ROOT, environ)
        for peer in PEERS
    }


def scores(url, texts):
    """The scores of each text of one request."""
    answer = httpx.post(f"{url}/v1/classify", json={"texts": texts, "truncate": True}, timeout=30)
    return [list(each["scores"].values()) for each in answer.raise_for_status().json()["results"]]


def check_answers(urls, texts):
    """Exit where the servers do not give the same scores."""
    expected = None
    for name, url in urls.items():
        found = [score for text in texts for score in scores(url, [text])[0]]
        expected = expected or found
        difference = max(abs(a - b) for a, b in zip(found, expected, strict=True))
        if difference > MOST_DIFFERENT:
            sys.exit(f"{name}'s scores differ from Sizewise's by up to {difference:.1e}")


def rounds(every, texts, arguments, folder):
    """The figures by clients and server, a list of rounds each."""
    bodies = [{"texts": [text], "truncate": True} for text in texts]
    found = {clients: {name: [] for name in every} for clients in arguments.clients}
    with ExitStack() as stack:
        started = {
            name: stack.enter_context(running(name, server, json.dumps(bodies[0]).encode()))
            for name, server in every.items()
        }
        check_answers({name: url for name, (_, url) in started.items()}, texts[:COMPARED_TEXTS])
        for process, url in started.values():
            wrk.run(url, folder, bodies, arguments.clients[0], WARM_UP_S)
            wait_until_idle(process)
        for number in range(arguments.rounds):
            for clients, rounds_of in found.items():
                for name, (process, url) in started.items():
                    before_s = sum(cpu_s(process).values())
                    figures = wrk.run(url, folder, bodies, clients, arguments.seconds)
                    used_s = sum(cpu_s(process).values()) - before_s
                    figures["texts_per_s"] = figures["requests"] / figures["seconds"]
                    figures["cpu_ms"] = 1e3 * used_s / max(1, figures["requests"])
                    rounds_of[name].append(figures)
                    # A peer still runs what wrk has left unanswered.
                    wait_until_idle(process)
                rates = ", ".join(
                    f"{name} {each[-1]['texts_per_s']:.0f}/s" for name, each in rounds_of.items()
                )
                done = f"round {number + 1} of {arguments.rounds}"
                print(f"{done}, {clients} clients: {rates}", flush=True)
    return found


def summary(rounds_of):
    """Medians by server, each peer with Sizewise's ratios to it."""
    result = {}
    for name, figures in rounds_of.items():
        result[name] = {key: statistics.median(each[key] for each in figures) for key in KEYS}
        result[name]["bad"] = sum(each["bad"] for each in figures)
        if name != "sizewise":
            for key in RATIOS:
                result[name][f"sizewise_{key}_ratio"] = statistics.median(
                    ours[key] / theirs[key]
                    for ours, theirs in zip(rounds_of["sizewise"], figures, strict=True)
                )
    return result


def report(precision, clients, result):
    for name, each in result.items():
        ratios = "" if name == "sizewise" else (
            f"; Sizewise: {each['sizewise_texts_per_s_ratio']:.2f} times the texts/s, "
            f"{each['sizewise_p99_ms_ratio']:.2f} times the p99, "
            f"{each['sizewise_cpu_ms_ratio']:.2f} times the CPU"
        )  # fmt: skip
        print(
            f"{precision}, {clients:3} clients, {name:11} {each['texts_per_s']:6.0f} texts/s, "
            f"p50 {each['p50_ms']:.0f} ms, p99 {each['p99_ms']:.0f} ms, "
            f"CPU a text {each['cpu_ms']:.2f} ms, bad {each['bad']}{ratios}",
            flush=True,
        )


def main():
    exit_on_sigterm()
    arguments = parse()
    texts = seeded_texts(TEXTS, seed=0)
    result = {}
    for precision, (bundle, exported) in import_graphs().items():
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            found = rounds(servers(bundle, exported, folder), texts, arguments, folder)
        result[precision] = {clients: summary(each) for clients, each in found.items()}
        for clients, each in result[precision].items():
            report(precision, clients, each)
    print(json.dumps(result))


def parse():
    parser = argparse.ArgumentParser(
        prog="python -m tests.benchmarks.plain_fastapi",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--clients", type=integers, default=[32, 128], metavar="N,N")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=int, default=8, help="of each measurement")
    wrk.require(parser)
    return parser.parse_args()


if __name__ == "__main__":
    main()
