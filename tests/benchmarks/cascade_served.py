"""A family's cascade beside its reference, through HTTP.

`python -m tests.benchmarks.cascade_served DATA`

DATA is the folder of the family's data stage, with the test split, which calibration never saw.
Both are asked about every text of it; then wrk, in turns, measures both at saturation, and the
cascade with every answer accepted at the first stage beside that stage by name: what `auto` costs.
Last, texts of other files until the server says that they are others.
"""

import argparse
import json
import re
import shutil
import statistics
import sys
import tempfile
from pathlib import Path

import httpx
import numpy as np
from tqdm import tqdm

from models.data.labelled import read_split
from models.evaluation.statistics import paired, proportion
from serving.bundles.cascade import CASCADE_NAME
from tests.benchmarks.bench import served
from tests.support.processes import ROOT, serving

A_REQUEST = 16
LOADS = ((32, 1), (4, 32))
EVERY_TEXTS = 10
MOST_DRIFT_TEXTS = 5_000


def started(registry, arguments, **settings):
    return serving(registry, engine=arguments.engine, tuning=arguments.tuning, **settings)


def ask(client, texts, variant):
    """Each text's result."""
    results = []
    for at in tqdm(range(0, len(texts), A_REQUEST), desc=variant, unit="request", leave=False):
        body = {"texts": texts[at : at + A_REQUEST], "variant": variant, "truncate": True}
        answer = client.post("/v1/classify", json=body | {"allow_degraded": False})
        answer.raise_for_status()
        results += answer.json()["results"]
    return results


def judge(client, model, rows):
    """How right cascade and reference are on the same texts."""
    texts = [row.text for row in rows]
    truth = [model["variants"][0]["labels"][row.labels[0]] for row in rows]
    reference = model["cascade"]["reference"]["variant"]
    found = {name: ask(client, texts, name) for name in (reference, "auto")}
    hits = {
        name: np.array([r["label"] == t for r, t in zip(results, truth, strict=True)])
        for name, results in found.items()
    }
    for name, right in hits.items():
        print(f"{name}: accuracy {shown(proportion(right))}, n = {len(texts)}")
    against = paired(hits["auto"], hits[reference])
    print(
        f"cascade less {reference}: {shown(against.difference, '+.4f')}, McNemar's p "
        f"{against.p_value:.2g}"
    )
    same = [a["label"] == b["label"] for a, b in zip(*found.values(), strict=True)]
    print(f"same label as {reference}: {shown(proportion(np.array(same)))}")
    for stage in model["cascade"]["stages"]:
        share = sum(r["variant"] == stage["variant"] for r in found["auto"]) / len(texts)
        print(f"answered by {stage['variant']}: {share:.3f}, asked (expected) {stage['reach']:.3f}")


def shown(estimate, form=".4f"):
    return f"{estimate.value:{form}} [{estimate.low:{form}}, {estimate.high:{form}}]"


def measure(server, folder, names, texts, arguments):
    """Throughput and latency of each way, in turns, and the ratios to the first."""
    for load in LOADS:
        found = {name: [] for name in names}
        for number in range(arguments.rounds):
            for name in names[number % len(names) :] + names[: number % len(names)]:
                found[name].append(served(server, folder, name, texts, load, arguments.seconds))
        for name, runs in found.items():
            assert not any(run["bad"] for run in runs), "requests failed"
            pairs = zip(runs, found[names[0]], strict=True)
            ratio = statistics.median(r["texts_per_s"] / b["texts_per_s"] for r, b in pairs)
            rate, p50, p99, cpu = (
                statistics.median(run[key] for run in runs)
                for key in ("texts_per_s", "p50_ms", "p99_ms", "server_ms")
            )
            print(
                f"{load[0]} clients x {load[1]} texts, {name}: {rate:.0f} texts/s, "
                f"{ratio:.2f} times {names[0]}, p50 {p50:.1f} ms, p99 {p99:.1f} ms, "
                f"{cpu:.2f} ms of CPU a text"
            )


def copied(registry, family, folder, **policy):
    """The family in a registry of its own, with this policy.json."""
    target = Path(folder) / "registry" / family
    shutil.copytree(registry / family, target)
    (target / "policy.json").write_text(json.dumps(policy))
    return target


def overhead(registry, family, texts, arguments):
    """`auto` where the first stage accepts everything, beside naming that stage."""
    with tempfile.TemporaryDirectory() as folder:
        target = copied(registry, family, folder)
        cascade = json.loads((target / CASCADE_NAME).read_text())
        for stage in cascade["stages"][:-1]:
            stage["threshold"] = 0.0
        (target / CASCADE_NAME).write_text(json.dumps(cascade))
        first = cascade["stages"][0]["variant"]
        with started(target.parent, arguments, brownout_ms=0) as server:
            measure(server, folder, [first, "auto"], texts, arguments)


def number_of(page, name):
    return float(re.search(rf"^{name}{{.*}} (\S+)$", page, re.MULTILINE)[1])


def drift(registry, family, usual, files, arguments):
    """How many texts of each file until the alarms, on a server that saw the usual ones before."""
    for path in files:
        with tempfile.TemporaryDirectory() as folder:
            target = copied(registry, family, folder, sample_share=arguments.sample_share)
            with (
                started(target.parent, arguments) as server,
                httpx.Client(base_url=server.url, timeout=60) as client,
            ):
                ask(client, usual, "auto")
                before = alarms(client)
                texts = [json.loads(line)["text"] for line in path.read_text().splitlines()]
                raised = {}
                for at in range(0, min(len(texts), MOST_DRIFT_TEXTS), EVERY_TEXTS):
                    ask(client, [t for t in texts[at : at + EVERY_TEXTS] if t.strip()], "auto")
                    for name, (up, _) in alarms(client).items():
                        if up and name not in raised:
                            raised[name] = at + EVERY_TEXTS
                    if len(raised) == len(before):
                        break
                print(f"{path.name}: {len(usual)} usual texts first: {before}; then after {raised}")
                print(f"  at its end, after {at + EVERY_TEXTS} of its texts: {alarms(client)}")


def alarms(client):
    """By what is watched: whether it is alarming, and its figures."""
    page = client.get("/metrics").text
    escalated = number_of(page, "sizewise_escalated_texts_total")
    texts = number_of(page, "sizewise_cascade_texts_total")
    lower = number_of(page, "sizewise_disagreement_lower_ratio")
    allowed = number_of(page, "sizewise_allowed_disagreement_ratio")
    return {
        "escalation": (
            number_of(page, "sizewise_escalation_drifted") == 1,
            f"{escalated / max(1, texts):.3f} go on",
        ),
        "disagreement": (lower > allowed, f"at least {lower:.4f}, allowed {allowed:.4f}"),
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("others", type=Path, nargs="*", help="JSON Lines of texts of elsewhere")
    parser.add_argument("--registry", type=Path, default=ROOT / "build/registry")
    parser.add_argument("--family", default="sentiment")
    parser.add_argument("--engine", default="auto")
    parser.add_argument("--tuning", default="", help="folder that `python -m serving tune` filled")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=4)
    parser.add_argument("--sample-share", type=float, default=1.0)
    arguments = parser.parse_args()
    rows = read_split(arguments.data, "test")
    texts = [row.text for row in rows]
    with (
        tempfile.TemporaryDirectory() as folder,
        started(arguments.registry, arguments, brownout_ms=0) as server,
        httpx.Client(base_url=server.url, timeout=60) as client,
    ):
        models = client.get("/v1/models").json()["models"]
        model = next(each for each in models if each["model"] == arguments.family)
        if not model["cascade"]:
            parser.exit(2, f"{arguments.family} has no cascade: python -m models cascade\n")
        judge(client, model, rows)
        names = [model["cascade"]["reference"]["variant"], "auto"]
        measure(server, folder, names, texts, arguments)
    overhead(arguments.registry, arguments.family, texts, arguments)
    drift(arguments.registry, arguments.family, texts, arguments.others, arguments)
    return 0


if __name__ == "__main__":
    sys.exit(main())
