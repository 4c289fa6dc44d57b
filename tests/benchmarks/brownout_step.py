"""Traffic steps from 0.5 to 4 times the reference's capacity.

`python -m tests.benchmarks.brownout_step DATA`

Arrivals are Poisson and do not wait for answers. The same step hits a server with brownout and one
without, with the family's cascade and without it. The engine has one core, so that client and
HTTP have another. DATA is the folder of the family's data stage: its test split is asked, so what
was answered can be judged.
"""

import argparse
import json
import shutil
import tempfile
import time
from collections import Counter
from itertools import cycle
from pathlib import Path

import numpy as np
import uvloop

from models.data.labelled import read_labels, read_split
from serving.bundles.cascade import CASCADE_NAME, Cascade
from tests.benchmarks.bench import served
from tests.benchmarks.overload import ON_TIME_S, as_requests, offer
from tests.support.processes import ROOT, serving

STEPS = (0.5, 4.0, 0.5)


def told(asked, seconds):
    """One step's outcomes, each with its text's label, in words."""
    outcomes = [o for o, _ in asked]
    answered = [(json.loads(o.body)["results"][0], truth) for o, truth in asked if o.status == 200]
    good = [o for o in outcomes if o.status == 200]
    results = [result for result, _ in answered]
    right = [result["label"] == truth for result, truth in answered]
    latency_s = [o.ended - o.due for o in good]
    p50, p99 = np.quantile(latency_s, (0.5, 0.99)) if good else (0.0, 0.0)
    late = np.quantile([max(0.0, o.sent - o.due) for o in outcomes if o.sent], 0.99)
    refused = Counter(o.status for o in outcomes if o.status != 200)
    who = Counter(result["variant"] for result in results)
    return (
        f"{len(outcomes) / seconds:.0f}/s offered, {len(good) / seconds:.0f}/s answered, "
        f"{sum(s <= 1 for s in latency_s) / seconds:.0f}/s within 1 s, refused {dict(refused)}, "
        f"degraded {np.mean([r['degraded'] for r in results] or [0]):.3f}, accuracy "
        f"{np.mean(right or [0]):.4f}, p50 {p50:.3f} s, p99 {p99:.3f} s, by {dict(who)}"
        + ("" if late < ON_TIME_S else f" (DOUBTFUL: the client sent up to {late:.2f} s late)")
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--registry", type=Path, default=ROOT / "build/registry")
    parser.add_argument("--family", default="sentiment")
    parser.add_argument("--engine", default="auto")
    parser.add_argument("--seconds", type=int, default=15)
    arguments = parser.parse_args()
    rows, labels = read_split(arguments.data, "test"), read_labels(arguments.data).names
    texts = [row.text for row in rows]
    truths = [labels[row.labels[0]] for row in rows]
    path = arguments.registry / arguments.family / CASCADE_NAME
    cascade = Cascade.model_validate_json(path.read_text())
    reference = cascade.reference.variant
    bundles = {stage.variant for stage in cascade.stages} | {reference}
    with tempfile.TemporaryDirectory() as folder:
        with serving(copied(arguments, folder, bundles), **settings_of(arguments, 0)) as server:
            capacity = served(server, folder, reference, texts, (32, 1), 5)["texts_per_s"]
        print(f"capacity of {reference} on one core: {capacity:.0f} texts/s")
        for kept in ((), (CASCADE_NAME,)):
            registry = copied(arguments, folder, bundles.union(kept))
            for brownout_ms in (250, 0):
                print(f"{'cascade' if kept else 'no cascade'}, brownout of {brownout_ms} ms")
                with serving(registry, **settings_of(arguments, brownout_ms)) as server:
                    step(server, texts, truths, capacity, arguments.seconds)


def settings_of(arguments, brownout_ms):
    return {"threads": 1, "engine": arguments.engine, "brownout_ms": brownout_ms}


def copied(arguments, folder, names):
    """A registry with these of the family's folder."""
    registry = Path(tempfile.mkdtemp(dir=folder))
    target = registry / arguments.family
    target.mkdir()
    for name in names:
        source = arguments.registry / arguments.family / name
        (shutil.copytree if source.is_dir() else shutil.copyfile)(source, target / name)
    return registry


def step(server, texts, truths, capacity, seconds):
    """Offer, and tell of each step what was due in it."""
    port = int(server.url.rpartition(":")[2])
    began = time.monotonic()
    rates = [(times * capacity, seconds) for times in STEPS]
    outcomes = uvloop.run(offer(port, as_requests(texts, "auto"), rates))
    asked = list(zip(outcomes, cycle(truths), strict=False))
    for number, times in enumerate(STEPS):
        start_s = began + number * seconds
        due = [(o, truth) for o, truth in asked if 0 <= o.due - start_s < seconds]
        print(f"  {times} times: {told(due, seconds)}", flush=True)


if __name__ == "__main__":
    main()
