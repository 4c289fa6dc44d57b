"""`make bench`: variants on this machine, every figure beside its ceiling from the same run.

Rounds are interleaved; medians and ratios are printed. Offline is the ceiling: the best of a
stated set of policies over the same engine with the same options, tokenization included, no HTTP.
Served is the real server, driven by wrk (Debian's package) on the same cores. The path is that
server over an engine that computes nothing: everything that a text costs besides its engine. The
run fails when something else used the machine.
"""

import argparse
import os
import re
import shutil
import statistics
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import psutil
from tqdm import tqdm

from loadtest.measure.workload import seeded_texts
from serving.bundles.bundle import read_bundle
from serving.inference.cpu import usable_cores
from serving.inference.tokenizer import Tokenizer
from serving.inference.tuned_choice import kept_tuning, restored
from serving.settings import Settings
from tests.benchmarks import wrk
from tests.benchmarks.bench_policies import (
    BUDGETS_TOKENS,
    POLICIES,
    Baseline,
    Ours,
    closed_loop,
    offline_rate,
)
from tests.benchmarks.bench_report import PATH_LOAD, Rounds, compare, report
from tests.support.metric_values import total
from tests.support.processes import ROOT, serving

# (clients, texts a request)
LOADS = ((1, 1), (8, 1), (32, 1), (128, 1), (4, 32))
# A GPU wants larger batches, and so more clients.
CUDA_LOADS = ((256, 1), (1024, 1))
CUDA_BUDGETS_TOKENS = (4096, 16_384)
MOST_CPU_OF_OTHERS = 0.1
MOST_TOKENS = 32_768
# The load begins so long before what counts, and ends as long after.
EDGE_S = 1


def alone(bundle, folder):
    """A registry in `folder` with this one bundle."""
    family = folder / "registry" / bundle.resolve().parent.name
    family.mkdir(parents=True)
    shutil.copytree(bundle, family / bundle.name)
    return family.parent


def served(server, folder, variant, texts, load, seconds):  # noqa: PLR0917
    """wrk's own summary, with the CPU seconds of server and client."""
    before_s, client_before_s = cpu_s(server), children_s()
    found = wrk.run(server.url, folder, bodies(variant, texts, load), load[0], seconds)
    answered = found["requests"] * load[1]
    server_s, client_s = cpu_s(server) - before_s, children_s() - client_before_s
    return found | {
        "texts_per_s": answered / found["seconds"],
        "server_ms": 1e3 * server_s / max(1, answered),
        "client_ms": 1e3 * client_s / max(1, answered),
        "server_cores": server_s / found["seconds"],
    }


def served_steadily(server, folder, variant, texts, load, seconds):  # noqa: PLR0917
    """The same, by what batches held in `seconds` of a load that began before and ends after.

    wrk counts answers: of large requests they are few and come together, and those in flight at its
    end, which 4 clients x 32 texts make a twelfth of three seconds' work, would be missing.
    """

    def counted():
        ran = total(server.metrics(), "sizewise_batch_texts_sum")
        return np.array([time.perf_counter(), ran, cpu_s(server)])

    with ThreadPoolExecutor() as beside:
        load_s = seconds + 2 * EDGE_S
        running = beside.submit(served, server, folder, variant, texts, load, load_s)
        time.sleep(EDGE_S)
        before = counted()
        time.sleep(seconds)
        passed_s, ran, server_s = counted() - before
    return running.result() | {
        "texts_per_s": ran / passed_s,
        "server_ms": 1e3 * server_s / max(1, ran),
        "server_cores": server_s / passed_s,
    }


def bodies(variant, texts, load):
    _, texts_a_request = load
    for at in range(0, len(texts) - texts_a_request + 1, texts_a_request):
        yield {"texts": texts[at : at + texts_a_request], "variant": variant, "truncate": True}


def cpu_s(server):
    return sum(psutil.Process(server.process.pid).cpu_times()[:2])


def children_s():
    """CPU seconds of children that have ended."""
    return sum(os.times()[2:4])


class Others:
    """How much of the machine processes other than this one, its children and `pids` use."""

    def __init__(self, pids):
        self._processes = [psutil.Process(pid) for pid in pids]
        self._started = time.monotonic()
        self._s = self._seconds()

    def cores(self):
        """Cores in use by others since this was made; what the host took counts too."""
        return (self._seconds() - self._s) / (time.monotonic() - self._started)

    def _seconds(self):
        everything = psutil.cpu_times()
        own_s = sum(os.times()[:4]) + sum(sum(p.cpu_times()[:2]) for p in self._processes)
        return everything.user + everything.nice + everything.system + everything.steal - own_s


def main():
    arguments = parse()
    texts = (
        arguments.texts.read_text().splitlines() if arguments.texts else seeded_texts(1024, seed=0)
    )
    found = {}
    for folder in arguments.bundle:
        bundle = read_bundle(folder)
        found[f"{bundle.manifest.family}/{bundle.manifest.variant}"] = measured(
            bundle, texts, arguments
        )
    if len(found) > 1:
        compare({name: rounds for name, (rounds, _) in found.items()})
    if any(cores > MOST_CPU_OF_OTHERS * psutil.cpu_count() for _, cores in found.values()):
        sys.exit("Something else used the machine: no figure counts. Stop it and run again.")
    print("Next: put what is worth keeping into docs/development/benchmarks")


def measured(bundle, texts, arguments):
    """The rounds of one variant, which are printed, and the cores that others used meanwhile."""
    tokenizer = Tokenizer(bundle.tokenizer_path, bundle.manifest.max_length)
    encodings = tokenizer.encode(texts)
    variant = bundle.manifest.variant
    on_cuda = arguments.device == "cuda"
    found = Rounds.of(
        budgets=BUDGETS_TOKENS + (CUDA_BUDGETS_TOKENS if on_cuda else ()),
        loads=LOADS + (CUDA_LOADS if on_cuda else ()),
        policies=(*POLICIES, "ours"),
    )
    found.cores = 0 if on_cuda else usable_cores()
    with ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        registry, tuning = alone(bundle.folder, Path(folder)), Path(folder) / "tuning"
        how = {"engine": arguments.engine, "device": arguments.device, "tuning": tuning}
        server = stack.enter_context(serving(registry, **how))
        # Engine, layout and budget are the server's.
        settings = Settings(registry=(registry,), **how)
        kept = kept_tuning(bundle, settings)
        chosen = kept and restored(kept, bundle, tokenizer, settings)
        if not chosen:
            sys.exit("The server's tuning file is missing or does not fit: run again.")
        print(f"{bundle.manifest.family}/{variant} {bundle.manifest.version} on {chosen.name}")
        print(f"  ({chosen.reason}), batches of up to {chosen.lane.max_batch_tokens} tokens")
        print(f"  {len(texts)} texts of {mean_length(encodings):.1f} tokens")
        null = stack.enter_context(serving(registry, program="tests.support.null_serving"))
        served(server, folder, variant, texts, (32, 1), 2)
        others = Others([server.process.pid, null.process.pid])
        for _ in tqdm(range(arguments.rounds), unit="round"):
            for budget, rates in found.offline.items():
                rates.append(offline_rate(chosen.engine, tokenizer, texts, budget))
            found.alone_ms.append(bare_ms(chosen.engine, tokenizer, texts))
            found.tokenize_ms.append(tokenize_ms(tokenizer, texts))
            for load, each in found.online.items():
                each.append(
                    served_steadily(server, folder, variant, texts, load, arguments.seconds)
                )
            for policy in POLICIES:
                found.closed[policy].append(
                    closed_loop(
                        lambda policy=policy: Baseline(chosen.engine, policy),
                        encodings, 32, arguments.seconds,
                    )
                )  # fmt: skip
            found.closed["ours"].append(
                closed_loop(
                    lambda: Ours(chosen.engine, chosen.lane), encodings, 32, arguments.seconds
                )
            )
            found.null.append(
                served_steadily(null, folder, variant, texts, PATH_LOAD, arguments.seconds)
            )
        peak_bytes = peak_memory_bytes(server.process.pid)
        cores_of_others = others.cores()
    report(found)
    print(
        f"peak memory of the server: {peak_bytes / 1e6:.0f} MB, "
        f"{peak_bytes / bundle.manifest.bytes:.1f} times the bundle's bytes"
    )
    print(f"cores used by other processes and the host: {cores_of_others:.2f}", flush=True)
    return found, cores_of_others


def mean_length(encodings):
    return statistics.mean(encoding.length for encoding in encodings)


def bare_ms(engine, tokenizer, texts):
    """Median milliseconds of one text: tokenize, then run, in this thread."""
    times = []
    for text in texts[:200]:
        started = time.perf_counter()
        engine.run(tokenizer.encode([text]))
        times.append(1e3 * (time.perf_counter() - started))
    return statistics.median(times)


def tokenize_ms(tokenizer, texts):
    """CPU milliseconds of tokenizing a text, all in one call."""
    began_s = time.process_time()
    tokenizer.encode(texts)
    return 1e3 * (time.process_time() - began_s) / len(texts)


def peak_memory_bytes(pid):
    status = Path(f"/proc/{pid}/status").read_text()
    return 1024 * int(re.search(r"VmHWM:\s+(\d+)", status).group(1))


def parse():
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__.splitlines()[0])
    parser.add_argument(
        "--bundle", type=Path, nargs="+", default=[ROOT / "models/registry/sentiment/medium-int8"],
        help="one or more; several end with a table",
    )  # fmt: skip
    parser.add_argument("--texts", type=Path, help="one text a line; generated when left out")
    parser.add_argument("--engine", default="auto", choices=("auto", "onnxruntime", "openvino"))
    parser.add_argument("--device", default="cpu", choices=("cpu", "cuda"))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=4, help="of each measurement")
    wrk.require(parser)
    return parser.parse_args()


if __name__ == "__main__":
    main()
