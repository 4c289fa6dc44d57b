"""What each variant of a registry takes: seconds to ready, and memory.

`python -m tests.benchmarks.footprint`

With --requests also how memory grows: resident after a tenth of the requests and after all of them,
each one text of mixed length from 32 clients of wrk.
"""

import argparse
import statistics
import tempfile
import time
from pathlib import Path

import psutil
from tqdm import tqdm

from loadtest.measure.workload import seeded_texts
from serving.bundles.registry import read_registry
from tests.benchmarks.bench import alone, peak_memory_bytes, served
from tests.support.processes import ROOT, serving

ROUNDS = 3
WRK_S = 5


def start(registry):
    """Seconds until ready, and the peak of its memory until then."""
    started = time.monotonic()
    with serving(registry) as server:
        return time.monotonic() - started, peak_memory_bytes(server.process.pid)


def growth(registry, variant, requests, folder):
    """Resident bytes after a tenth of the requests and after all."""
    texts = seeded_texts(4096, seed=0)
    with serving(registry) as server, tqdm(total=requests, unit="request") as progress:
        process = psutil.Process(server.process.pid)
        early = None
        while progress.n < requests:
            found = served(server, folder, variant, texts, (32, 1), WRK_S)
            assert not found["bad"], f"{found['bad']} requests failed"
            progress.update(found["requests"])
            if early is None and progress.n >= requests / 10:
                early = process.memory_info().rss
        return early, process.memory_info().rss


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--registry", type=Path, default=ROOT / "models/registry")
    parser.add_argument("--variants", nargs="*", help="all when left out")
    parser.add_argument("--requests", type=int, default=0)
    arguments = parser.parse_args()
    for bundles in read_registry(arguments.registry).values():
        for bundle in bundles:
            variant, size = bundle.manifest.variant, bundle.manifest.bytes
            if arguments.variants and variant not in arguments.variants:
                continue
            with tempfile.TemporaryDirectory() as folder:
                registry = alone(bundle.folder, Path(folder))
                ready_s, peaks = zip(*(start(registry) for _ in range(ROUNDS)), strict=True)
                peak = statistics.median(peaks)
                print(
                    f"{variant}: ready in {statistics.median(ready_s):.1f} s, peak memory "
                    f"{peak / 1e6:.0f} MB, {peak / size:.1f} times the bundle's {size / 1e6:.1f} MB"
                )
                if arguments.requests:
                    early, late = growth(registry, variant, arguments.requests, folder)
                    print(
                        f"{variant}: {early / 1e6:.1f} MB after {arguments.requests // 10:,} "
                        f"requests, {late / 1e6:.1f} MB after all: {late / early - 1:+.1%}"
                    )


if __name__ == "__main__":
    main()
