"""What an explanation costs: each variant's, beside the plain answer to the same text, over HTTP.

`python -m tests.benchmarks.explained REGISTRY TEXTS` reads one text a line and sends each alone,
plain and explained by turns, so that nothing waits for anything else.
"""

import argparse
import itertools
import statistics
from pathlib import Path

import psutil

from serving.bundles.registry import read_registry
from tests.support.processes import FRESH, serving

WAYS = {"plain": None, "occlusion": {"method": "occlusion"}, "shapley": {"method": "shapley"}}


def main():
    arguments = parse()
    lines = arguments.texts.read_text().splitlines()
    texts = list(itertools.islice(filter(str.strip, lines), arguments.first))
    print("| variant | | median, ms | p95, ms | CPU a text, ms | tokens, of the plain answer's |")
    print("|---|---|--:|--:|--:|--:|")
    for family, bundles in read_registry(arguments.registry).items():
        for bundle in bundles:
            asked = {"model": family, "variant": bundle.manifest.variant}
            for way, found in measured(arguments.registry, asked, texts).items():
                print(f"| {bundle.manifest.variant} | {way} | {' | '.join(found)} |", flush=True)
    print("Next: put what is worth keeping into docs/development/benchmarks")


def measured(registry, asked, texts):
    """For each way the columns of the table."""
    times = {way: [] for way in WAYS}
    used_s = dict.fromkeys(WAYS, 0.0)
    tokens = dict.fromkeys(WAYS, 0)
    with serving(registry, variants=asked["variant"]) as running:
        process = psutil.Process(running.process.pid)
        for text, (way, explain) in itertools.product(texts, WAYS.items()):
            before = process.cpu_times()
            answer = running.classify(
                asked | {"texts": [text]} | ({"explain": explain} if explain else {}),
                headers=FRESH,
            )
            answer.raise_for_status()
            after = process.cpu_times()
            times[way].append(1000 * answer.elapsed.total_seconds())
            used_s[way] += sum(after[:2]) - sum(before[:2])
            tokens[way] += answer.json()["usage"]["tokens"]
    return {
        way: (
            f"{statistics.median(times[way]):.1f}",
            f"{statistics.quantiles(times[way], n=20)[-1]:.1f}",
            f"{1000 * used_s[way] / len(texts):.1f}",
            f"{tokens[way] / tokens['plain']:.1f}",
        )
        for way in WAYS
    }


def parse():
    parser = argparse.ArgumentParser(
        prog="python -m tests.benchmarks.explained", description=__doc__.splitlines()[0]
    )
    parser.add_argument("registry", type=Path)
    parser.add_argument("texts", type=Path)
    parser.add_argument("--first", type=int, default=200, help="texts (default: 200)")
    return parser.parse_args()


if __name__ == "__main__":
    main()
