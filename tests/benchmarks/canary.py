"""The share of a canary, and what a shadow says, against the truth.

`python -m tests.benchmarks.canary`

The live version is the shipped small-int8; the other one is medium-int8 under its name, so that
some answers differ. The truth is asked of both versions, each pinned in its turn, text by text, as
the shadow was: no batch-mates, whose company can turn an int8 answer.
"""

import argparse
import asyncio
import json
import sys
import tempfile
from collections import Counter
from pathlib import Path

import httpx
import uvloop
from scipy.stats import binomtest
from tqdm import tqdm

from loadtest.measure.workload import seeded_texts
from serving.bundles.bundle import read_bundle
from serving.bundles.registry import publish
from tests.support.bundles import alter
from tests.support.closed_loop import as_request, clients
from tests.support.processes import FRESH, ROOT, serving
from tests.support.registries import counted, tiny, wait_for

SHIPPED = ROOT / "models/registry/sentiment"
VARIANT = "small-int8"
WEIGHT = 0.1


def direct(server, registry, **traffic):
    """Serve so, and wait until it is."""
    path = registry / "sentiment" / "traffic.json"
    path.write_text(json.dumps({VARIANT: traffic}))
    wanted = {"version": traffic.get("version", tiny(server)["version"])} | {
        name: traffic.get(name, {}).get("version") for name in ("canary", "shadow")
    }
    wait_for(lambda: wanted.items() <= tiny(server).items())


async def shares(port, texts, count):
    """How many of `count` requests or a few more each version answered."""
    requests = [as_request({"texts": [text], "truncate": True}) for text in texts]
    async with clients(port, 8, requests) as asked:
        while len(asked) < count:  # noqa: ASYNC110
            await asyncio.sleep(0.05)
    assert all(each.status == 200 for each in asked)
    return Counter(json.loads(each.body)["results"][0]["version"] for each in asked)


def answers(server, texts, name):
    """(version, label) of each text, one after the other."""
    with httpx.Client(base_url=server.url, headers=FRESH, timeout=30) as client:
        bodies = ({"texts": [text], "truncate": True} for text in tqdm(texts, name, unit="text"))
        results = [client.post("/v1/classify", json=b).json()["results"][0] for b in bodies]
    return [(result["version"], result["label"]) for result in results]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--requests", type=int, default=5000)
    parser.add_argument("--texts", type=int, default=2000)
    arguments = parser.parse_args()
    texts = seeded_texts(arguments.texts, seed=0)
    with tempfile.TemporaryDirectory() as scratch:
        registry = Path(scratch) / "registry"
        live = publish(SHIPPED / VARIANT, registry).manifest.version
        beside = registry / "sentiment" / f"{VARIANT}@next"
        other = read_bundle(alter(SHIPPED / "medium-int8", beside, variant=VARIANT))
        other = other.manifest.version
        with serving(registry, scan_ms=100) as server:
            direct(server, registry, canary={"version": other, "weight": WEIGHT})
            port = int(server.url.rpartition(":")[2])
            found = uvloop.run(shares(port, texts, arguments.requests))
            told = counted(server, "sizewise_version_texts_total", other)
            tested = binomtest(found[other], found.total(), WEIGHT)
            low, high = tested.proportion_ci(method="exact")
            print(
                f"canary of weight {WEIGHT}: {found[other]} of {found.total()} requests, "
                f"{found[other] / found.total():.4f} ({low:.4f} to {high:.4f}), p of the weight "
                f"{tested.pvalue:.2f}; sizewise_version_texts_total says {told:.0f}"
            )
            direct(server, registry, shadow={"version": other})
            answered = answers(server, texts, "shadowed")
            wait_for(lambda: counted(server, "sizewise_shadow_texts_total", other) == len(texts))
            metric = counted(server, "sizewise_shadow_disagreements_total", other)
            direct(server, registry, version=other)
            pinned = answers(server, texts, "pinned")
    assert {version for version, _ in answered} == {live}
    assert {version for version, _ in pinned} == {other}
    truth = sum(a[1] != b[1] for a, b in zip(answered, pinned, strict=True))
    print(
        f"shadow: sizewise_shadow_disagreements_total {metric:.0f} of {len(texts)} texts; "
        f"asked of both versions: {truth}"
    )
    return int(not (low <= WEIGHT <= high and told == found[other] and metric == truth))


if __name__ == "__main__":
    sys.exit(main())
