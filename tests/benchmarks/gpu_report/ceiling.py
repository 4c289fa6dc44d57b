"""The offline ceiling of one bundle on one device, and what bound buffers would gain.

Rounds take turns over the budgets of padded tokens; each is tokenized and run with all slots busy,
then run again from tokens, which is the engine alone. The last line is JSON.
"""

import argparse
import json
import statistics
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from loadtest.measure.subprocesses import exit_on_sigterm
from loadtest.measure.workload import seeded_texts
from serving.bundles.bundle import read_bundle
from serving.inference.cpu import usable_cores
from serving.inference.engine import Resources
from serving.inference.engine_selection import choose
from serving.inference.ort_engine import OrtEngine
from serving.inference.tokenizer import Tokenizer
from tests.benchmarks.bench import MOST_TOKENS, mean_length
from tests.benchmarks.bench_policies import sorted_batches
from tests.benchmarks.gpu_report.bound import bound_and_plain_s
from tests.benchmarks.gpu_report.busy import Busy

BUDGETS_TOKENS = {"cpu": (64, 128, 256, 512, 1024), "cuda": (1024, 4096, 16_384, MOST_TOKENS)}
THREADS = (1, 2, 4)
FEWEST_TEXTS, MOST_TEXTS = 256, 65_536
WARM_TEXTS = 64


def timed(engine, tokenizer, texts, budget_tokens, threads):
    """(texts/s tokenization included, texts/s of the engine alone)."""
    began_s = time.perf_counter()
    encodings = tokenizer.encode(texts)
    tokenized_s = time.perf_counter()
    plan = list(sorted_batches([each.length for each in encodings], budget_tokens))
    batches = [[encodings[index] for index in batch] for batch in reversed(plan)]
    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(engine.run, batches))
    ended_s = time.perf_counter()
    return len(texts) / (ended_s - began_s), len(texts) / (ended_s - tokenized_s)


def enough(rate, seconds, texts):
    """So many texts that a measurement takes about `seconds`."""
    count = min(MOST_TEXTS, max(FEWEST_TEXTS, int(rate * seconds)))
    return (texts * (1 + count // len(texts)))[:count]


def measured(chosen, tokenizer, texts, device, arguments):
    engine, slots = chosen.engine, chosen.engine.slots
    rates = {budget: ([], []) for budget in BUDGETS_TOKENS[device]}
    probe = max(timed(engine, tokenizer, texts[:WARM_TEXTS], budget, slots)[0] for budget in rates)
    probe = timed(engine, tokenizer, enough(probe, arguments.seconds, texts), max(rates), slots)[0]
    long = enough(probe, arguments.seconds, texts)
    with Busy(device) as busy:
        for _ in range(arguments.rounds):
            for budget, (whole, alone) in rates.items():
                for found, rate in zip(
                    (whole, alone), timed(engine, tokenizer, long, budget, slots), strict=True
                ):
                    found.append(rate)
    median = statistics.median
    best = max(rates, key=lambda budget: median(rates[budget][1]))
    ceilings = [max(each) for each in zip(*(whole for whole, _ in rates.values()), strict=True)]
    by_threads = {threads: timed(engine, tokenizer, long, best, threads)[1] for threads in THREADS}
    return {
        "ceiling_texts_per_s": median(ceilings),
        "engine_texts_per_s": median(rates[best][1]),
        "budgets": {
            str(budget): {"texts_per_s": median(whole), "engine_texts_per_s": median(alone)}
            for budget, (whole, alone) in rates.items()
        },
        "best_budget_tokens": best,
        "engine_texts_per_s_by_threads": {str(n): rate for n, rate in by_threads.items()},
        "texts": len(long),
        "gpu_busy": busy.found,
    }


def difference(bundle, engine, encodings):
    """The largest between a logit here and of the same graph on the CPU."""
    on_cpu = OrtEngine(bundle, Resources("cpu", usable_cores())).run(encodings)
    return float(np.abs(engine.run(encodings) - on_cpu).max())


def main():
    exit_on_sigterm()
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--bundle", type=Path, required=True)
    parser.add_argument("--device", choices=BUDGETS_TOKENS, required=True)
    parser.add_argument("--seconds", type=float, default=1.0, help="of each measurement")
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    bundle = read_bundle(arguments.bundle)
    tokenizer = Tokenizer(bundle.tokenizer_path, bundle.manifest.max_length)
    resources = Resources(arguments.device, usable_cores())
    began_s = time.perf_counter()
    chosen = choose(bundle, tokenizer, "onnxruntime", resources, max_batch_tokens=MOST_TOKENS)
    ready_s = time.perf_counter() - began_s
    texts = seeded_texts(2048, seed=0)
    encodings = tokenizer.encode(texts)
    found = measured(chosen, tokenizer, texts, arguments.device, arguments)
    found |= {
        "logits_differ_from_cpu_by": difference(bundle, chosen.engine, encodings[:WARM_TEXTS]),
        "ready_s": ready_s,
        "slots": chosen.engine.slots,
        "mean_tokens": mean_length(encodings),
    }
    print(json.dumps(found), flush=True)
    batch = encodings[: max(1, int(found["best_budget_tokens"] / found["mean_tokens"]))]
    bound = bound_and_plain_s(bundle, resources, batch, arguments.seconds)
    print(json.dumps({"bound_buffers": bound}))


if __name__ == "__main__":
    main()
