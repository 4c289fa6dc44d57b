"""`python -m tests.bench`: served throughput against the offline ceiling, in one run.

The ceiling is the best of a stated set of batching policies over the same engine with the same
session options, tokenization included and no HTTP. The server is driven by wrk (Debian's package)
with 32 connections, one text a request. Rounds are interleaved; medians and ratios are printed.
"""

import argparse
import json
import re
import shutil
import statistics
import subprocess
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from loadtest.payloads import seeded_texts
from serving.bundle import read_bundle
from serving.cores import usable_cores
from serving.ort_engine import OrtEngine
from serving.tokenizer import Tokenizer
from tests.processes import ROOT, serving

BUDGETS_TOKENS = (0, 64, 128, 256, 512, 1024)
WRK_SCRIPT = """
local bodies = {}
for line in io.lines(os.getenv("BODIES")) do bodies[#bodies + 1] = line end
local turn = 0
wrk.method = "POST"
wrk.headers["Content-Type"] = "application/json"
function request()
  turn = turn % #bodies + 1
  return wrk.format(nil, "/v1/classify", nil, bodies[turn])
end
function done(summary, latency, requests)
  io.write(string.format(
    '{"requests": %d, "seconds": %f, "bad": %d, "p50_ms": %f, "p99_ms": %f}\\n',
    summary.requests, summary.duration / 1e6,
    summary.errors.status + summary.errors.connect + summary.errors.read + summary.errors.timeout,
    latency:percentile(50) / 1e3, latency:percentile(99) / 1e3))
end
"""


def batches(lengths, budget_tokens):
    """Index lists: one by one (budget 0), or sorted by length up to a padded-token budget."""
    order = (
        range(len(lengths))
        if not budget_tokens
        else sorted(range(len(lengths)), key=lengths.__getitem__)
    )
    batch = []
    for index in order:
        if batch and (len(batch) + 1) * lengths[index] > budget_tokens:
            yield batch
            batch = []
        batch.append(index)
    yield batch


def offline_rate(engine, tokenizer, texts, budget_tokens):
    """Texts per second with all slots busy."""
    started = time.perf_counter()
    encodings = tokenizer.encode(texts)
    plan = list(batches([e.length for e in encodings], budget_tokens))
    with ThreadPoolExecutor(engine.slots) as threads:
        list(
            threads.map(lambda batch: engine.run([encodings[i].ids for i in batch]), reversed(plan))
        )
    return len(texts) / (time.perf_counter() - started)


def served(server, bodies_path, script_path, connections, seconds):
    """wrk's own summary."""
    command = [
        "wrk", "--threads", "1", "--connections", str(connections), "--duration", f"{seconds}s",
        "--timeout", "30s", "--latency", "--script", str(script_path), server.url,
    ]  # fmt: skip
    output = subprocess.run(
        command, env={"BODIES": str(bodies_path)}, capture_output=True, text=True, check=True
    ).stdout
    return json.loads(re.search(r"^\{.*\}$", output, re.MULTILINE).group())


def main():
    arguments = parse()
    texts = (
        arguments.texts.read_text().splitlines() if arguments.texts else seeded_texts(2000, seed=0)
    )
    bundle = read_bundle(arguments.bundle)
    engine = OrtEngine(bundle, "cpu", usable_cores())
    tokenizer = Tokenizer(bundle.tokenizer_path, bundle.manifest.max_length)
    offline = {budget: [] for budget in BUDGETS_TOKENS}
    rounds = []
    with tempfile.TemporaryDirectory() as folder, serving(arguments.bundle.parent.parent) as server:
        bodies_path, script_path = Path(folder) / "bodies", Path(folder) / "wrk.lua"
        variant = bundle.manifest.variant
        bodies = (
            json.dumps({"texts": [text], "variant": variant, "truncate": True}) for text in texts
        )
        bodies_path.write_text("\n".join(bodies) + "\n")
        script_path.write_text(WRK_SCRIPT)
        served(server, bodies_path, script_path, arguments.connections, 3)
        for _ in range(arguments.rounds):
            for budget in BUDGETS_TOKENS:
                offline[budget].append(offline_rate(engine, tokenizer, texts, budget))
            rounds.append(
                served(server, bodies_path, script_path, arguments.connections, arguments.seconds)
            )
    report(bundle.manifest, texts, tokenizer, offline, rounds)


def parse():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--bundle", type=Path, default=ROOT / "models/registry/sentiment/medium-int8"
    )
    parser.add_argument("--texts", type=Path, help="one text a line; generated when left out")
    parser.add_argument("--connections", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=6)
    if not shutil.which("wrk"):
        parser.exit(2, "wrk is missing: apt-get install wrk\n")
    return parser.parse_args()


def report(manifest, texts, tokenizer, offline, rounds):
    lengths = [encoding.length for encoding in tokenizer.encode(texts)]
    print(f"{manifest.family}/{manifest.variant} {manifest.version}")
    print(f"{len(texts)} texts, {statistics.mean(lengths):.1f} tokens on average")
    medians = {budget: statistics.median(rates) for budget, rates in offline.items()}
    for budget, rate in medians.items():
        policy = f"sorted, <= {budget} padded tokens" if budget else "one by one"
        print(f"offline {policy:32} {rate:8.0f} texts/s")
    ceiling = max(medians.values())
    rates = [each["requests"] / each["seconds"] for each in rounds]
    ratios = [rate / max(offline[b][i] for b in offline) for i, rate in enumerate(rates)]
    print(
        f"served                                   {statistics.median(rates):8.0f} texts/s, "
        f"p50 {statistics.median(r['p50_ms'] for r in rounds):.1f} ms, "
        f"p99 {statistics.median(r['p99_ms'] for r in rounds):.1f} ms, "
        f"errors {sum(r['bad'] for r in rounds)}"
    )
    print(
        f"served / ceiling                         {statistics.median(rates) / ceiling:8.3f}"
        f"   (by round, against that round's best: {', '.join(f'{r:.3f}' for r in ratios)})"
    )


if __name__ == "__main__":
    main()
