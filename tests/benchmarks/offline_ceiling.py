"""Texts/s of the whole job beside the offline ceiling.

`python -m tests.benchmarks.offline_ceiling`

Each round is the ceiling on a tenth of the texts, the job on all, and the ceiling again; the
ratio is the job's rate to the mean of the two ceilings around it, in tokens, so that the tenth's
length does not count. The job's rate includes reading, tokenizing, writing each part to the disk
and merging; not loading. CPU time a text, a job of one text subtracted, stands beside it, since it
hardly depends on what else the machine does. The last line kills a job halfway and goes on.
"""

import argparse
import json
import os
import re
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil
import pyarrow as pa
import pyarrow.parquet as pq

from loadtest.measure.workload import seeded_texts, texts_from
from serving.bundles.bundle import read_bundle
from serving.inference.cpu import usable_cores
from serving.inference.engine import Resources
from serving.inference.engine_selection import ENGINES, choose
from serving.inference.tokenizer import Tokenizer
from tests.benchmarks.bench import MOST_CPU_OF_OTHERS, MOST_TOKENS, Others, alone, mean_length
from tests.benchmarks.bench_policies import BUDGETS_TOKENS, offline_rate
from tests.support.processes import ROOT, clean_environ


def command(source, output, registry):
    return [
        *(sys.executable, "-m", "serving", "classify", "--truncate", "--input", source),
        *("--output", output, "--registry", registry),
    ]


def job(source, output, registry, engine):
    """Texts a second as the job itself says, and its CPU seconds with loading."""
    output.unlink(missing_ok=True)
    before = os.times()
    said = subprocess.run(
        command(source, output, registry), cwd=ROOT,
        env=clean_environ() | {"SIZEWISE_ENGINE": engine},
        capture_output=True, text=True, check=True,
    ).stderr  # fmt: skip
    rate = re.search(r"([\d,]+) texts/s in", said).group(1)
    after = os.times()
    cpu_s = sum(after[2:4]) - sum(before[2:4])
    return float(rate.replace(",", "")), cpu_s


def killed_and_resumed(source, output, registry, engine):
    """Rows of the output, and how many differ from `unbroken`, after a SIGKILL halfway."""
    unbroken = pq.read_table(output)
    output.unlink()
    environ = clean_environ() | {"SIZEWISE_ENGINE": engine}
    process = subprocess.Popen(
        command(source, output, registry), cwd=ROOT, env=environ, stderr=subprocess.DEVNULL
    )
    while not list(output.parent.glob("*.parts/*.part")):
        assert process.poll() is None
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    job(source, output, registry, engine)
    resumed = pq.read_table(output)
    assert resumed["number"].equals(unbroken["number"]), "rows were lost or repeated"
    before, after = unbroken["label"].to_pylist(), resumed["label"].to_pylist()
    differ = sum(a != b for a, b in zip(before, after, strict=True))
    scores = zip(unbroken["score"].to_pylist(), resumed["score"].to_pylist(), strict=True)
    return len(after), differ, max(abs(a - b) for a, b in scores)


def main():
    arguments = parse()
    texts = (texts_from(arguments.texts) * arguments.count)[: arguments.count] if arguments.texts \
        else seeded_texts(arguments.count, seed=0)  # fmt: skip
    bundle = read_bundle(arguments.bundle)
    tokenizer = Tokenizer(bundle.tokenizer_path, bundle.manifest.max_length)
    resources = Resources("cpu", usable_cores())
    chosen = choose(bundle, tokenizer, arguments.engine, resources, max_batch_tokens=MOST_TOKENS)
    engine = ENGINES[chosen.name](bundle, resources)
    tenth = texts[::10]
    tokens, tenth_tokens = (
        mean_length(tokenizer.encode(texts)),
        mean_length(tokenizer.encode(tenth)),
    )
    print(f"{bundle.manifest.variant} on {chosen.name}, {len(texts)} texts of {tokens:.1f} tokens")

    def ceiling():
        """The best of the policies and its CPU ms, for texts of the whole file's mean length."""
        rates, cpu_ms = [], []
        for budget in BUDGETS_TOKENS:
            began_s = time.process_time()
            rates.append(offline_rate(engine, tokenizer, tenth, budget) * tenth_tokens / tokens)
            cpu_s = time.process_time() - began_s
            cpu_ms.append(1e3 * cpu_s / len(tenth) * tokens / tenth_tokens)
        return max(rates), min(cpu_ms)

    others = Others([])
    ratios, cpu_ratios = [], []
    with tempfile.TemporaryDirectory() as folder:
        registry = alone(arguments.bundle, Path(folder))
        source, output = Path(folder) / "in.parquet", Path(folder) / "out.parquet"
        pq.write_table(pa.table({"number": range(len(texts)), "text": texts}), source)
        one = Path(folder) / "one.parquet"
        pq.write_table(pa.table({"text": texts[:1]}), one)
        for number in range(arguments.rounds):
            _, loading_s = job(one, output, registry, chosen.name)
            before, before_ms = ceiling()
            rate, cpu_s = job(source, output, registry, chosen.name)
            after, after_ms = ceiling()
            ratios.append(rate / statistics.mean([before, after]))
            job_ms = 1e3 * (cpu_s - loading_s) / len(texts)
            cpu_ratios.append(statistics.mean([before_ms, after_ms]) / job_ms)
            print(
                f"round {number + 1}: job {rate:.0f} texts/s, ceiling {before:.0f} before and "
                f"{after:.0f} after: {ratios[-1]:.3f}; CPU a text {job_ms:.2f} ms, "
                f"ceiling {before_ms:.2f} and {after_ms:.2f}: {cpu_ratios[-1]:.3f}", flush=True,
            )  # fmt: skip
        cores = others.cores()
        print(
            f"median of the ceiling: {statistics.median(ratios):.3f} by texts/s, "
            f"{statistics.median(cpu_ratios):.3f} by CPU time; cores used by others: {cores:.2f}"
        )
        rows, differ, score = killed_and_resumed(source, output, registry, chosen.name)
        print(json.dumps({"killed_and_resumed_rows": rows, "other_labels": differ, "score": score}))
    if cores > MOST_CPU_OF_OTHERS * psutil.cpu_count():
        sys.exit("Something else used the machine: no figure counts. Stop it and run again.")


def parse():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--bundle", type=Path, default=ROOT / "models/registry/sentiment/medium-int8"
    )
    parser.add_argument("--texts", type=Path, help="one text a line; generated when left out")
    parser.add_argument("--count", type=int, default=20_000)
    parser.add_argument("--engine", default="auto", choices=("auto", "onnxruntime", "openvino"))
    parser.add_argument("--rounds", type=int, default=3)
    return parser.parse_args()


if __name__ == "__main__":
    main()
