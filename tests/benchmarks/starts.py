"""Starts of a server with and without a tuning file, in turns.

`python -m tests.benchmarks.starts`

Each start is a new process of the packaged family, or of `--registry`: seconds from its birth to
ready, of CPU time too, and the engine and token budget of each variant. One more start before them
writes the files. Then texts run offline with each budget in turns, which says how near the starts'
budgets are to the best, and every bundle is decided on 50 times from the same file. It ends with
status 1 if these decisions differ, and stops starting after `--minutes` whatever is left.
"""

import argparse
import statistics
import sys
import tempfile
import time
from collections import Counter
from itertools import chain
from pathlib import Path

import httpx
import psutil

from loadtest.measure.workload import seeded_texts
from serving.bundles.registry import read_registry
from serving.inference.cpu import usable_cores
from serving.inference.engine import Resources
from serving.inference.engine_selection import ENGINES
from serving.inference.tokenizer import open_tokenizer
from serving.inference.tuned_choice import kept_tuning, restored
from serving.settings import Settings
from tests.benchmarks.bench_policies import BUDGETS_TOKENS, offline_rate
from tests.support.processes import ROOT, serving, wait_until_ready

DECISIONS = 50
TEXTS = 1_000
ROUNDS = 11
NEAR = 0.97
PATIENCE_S = 300


def start(registry, tuning, engine):
    """Seconds to ready, of CPU time too, and how each variant runs: (engine, token budget)."""
    began_s = time.perf_counter()
    with serving(registry, wait_ready=False, tuning=tuning, engine=engine) as server:
        wait_until_ready(server, PATIENCE_S)
        seconds = time.perf_counter() - began_s
        cpu_s = sum(psutil.Process(server.process.pid).cpu_times()[:4])
        models = httpx.get(f"{server.url}/v1/models", timeout=30).json()["models"]
    return (
        seconds,
        cpu_s,
        {
            f"{model['model']}/{variant['variant']}": (
                variant["engine"],
                variant["max_batch_tokens"],
            )
            for model in models
            for variant in model["variants"]
        },
    )


def show(how, found):
    """Print the starts of one kind; return their median seconds."""
    seconds, cpu_s, variants = zip(*found, strict=True)
    median = statistics.median(seconds)
    print(f"{how}: {len(found)} starts, median {median:.2f} s to ready, least {min(seconds):.2f}")
    print("  seconds:", *(f"{each:.2f}" for each in seconds))
    print(f"  CPU seconds, median {statistics.median(cpu_s):.2f}:", *(f"{s:.2f}" for s in cpu_s))
    for variant in variants[0]:
        kinds = Counter(each[variant] for each in variants)
        shown = ", ".join(f"{name} {budget} x{n}" for (name, budget), n in kinds.most_common())
        print(f"  {variant}: {shown}", flush=True)
    return median


def decisions(registry, tuning, engine):
    """How many different decisions 50 readings of each bundle's file make, at most."""
    settings = Settings(registry=registry, tuning=tuning, engine=engine)
    most = 0
    for bundles in read_registry(registry, ()).values():
        for bundle in bundles:
            tokenizer = open_tokenizer(bundle)
            tunings = (kept_tuning(bundle, settings) for _ in range(DECISIONS))
            made = (each and restored(each, bundle, tokenizer, settings) for each in tunings)
            seen = {
                each and (each.name, each.wide, each.cost, each.lane.packed,
                          each.lane.max_batch_tokens)
                for each in made
            }  # fmt: skip
            print(f"  {bundle.manifest.variant}: {len(seen)} distinct of {DECISIONS} decisions")
            most = max(most, len(seen))
    return most


def sweep(registry, found):
    """Print the offline rate of each budget, and how far the budgets of `found` are from the best.

    A round runs every budget once; a budget's rate is its median.
    """
    texts = seeded_texts(TEXTS, seed=0)
    for family, bundles in read_registry(registry, ()).items():
        for bundle in bundles:
            name = f"{family}/{bundle.manifest.variant}"
            chosen = {how: [each[2][name] for each in its] for how, its in found.items()}
            engines, seen = zip(*chain(*chosen.values()), strict=True)
            engine_name = Counter(engines).most_common(1)[0][0]
            engine = ENGINES[engine_name](bundle, Resources("cpu", usable_cores()))
            tokenizer = open_tokenizer(bundle)
            rates = {budget: [] for budget in sorted({32, *BUDGETS_TOKENS[1:], *seen})}
            for _ in range(ROUNDS):
                for budget, its in rates.items():
                    its.append(offline_rate(engine, tokenizer, texts, budget))
            rate = {budget: statistics.median(its) for budget, its in rates.items()}
            best = max(rate.values())
            shown = ", ".join(f"{budget}: {each / best:.3f}" for budget, each in rate.items())
            print(f"{name}, {engine_name}, of the best budget's {best:.0f} texts/s: {shown}")
            for how, its in chosen.items():
                near = [rate[budget] / best for _, budget in its]
                print(
                    f"  {how} a tuning file: {sum(share >= NEAR for share in near)} of {len(its)} "
                    f"within 3 %, the least {min(near):.3f}"
                )


def main():
    arguments = parse()
    until_s = time.monotonic() + 60 * arguments.minutes
    found = {"without": [], "with": []}
    with tempfile.TemporaryDirectory() as folder:
        start(arguments.registry, folder, arguments.engine)
        for _ in range(arguments.starts):
            if time.monotonic() > until_s:
                print(f"stopped after {arguments.minutes} minutes")
                break
            for how, tuning in (("without", ""), ("with", folder)):
                found[how].append(start(arguments.registry, tuning, arguments.engine))
        medians = {how: show(f"{how} a tuning file", its) for how, its in found.items()}
        print(f"ratio of the medians: {medians['without'] / medians['with']:.2f}")
        sweep(arguments.registry, found)
        different = decisions(arguments.registry, folder, arguments.engine)
    if different != 1:
        sys.exit("The same file led to different decisions, or to none.")


def parse():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--registry", type=Path, default=ROOT / "models" / "registry")
    parser.add_argument("--engine", default="auto", choices=("auto", "onnxruntime", "openvino"))
    parser.add_argument("--starts", type=int, default=20)
    parser.add_argument("--minutes", type=float, default=15.0)
    return parser.parse_args()


if __name__ == "__main__":
    main()
