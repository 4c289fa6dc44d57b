"""`python -m tests.support.stand_in_wrk`: what tests/benchmarks/wrk.py needs of wrk.

For tests where Debian's package is missing. It sends one request after the other, so its figures
mean nothing.
"""

import argparse
import json
import os
import time
from itertools import cycle
from pathlib import Path

import httpx


def main():
    parser = argparse.ArgumentParser()
    for name in ("threads", "connections", "timeout", "script"):
        parser.add_argument(f"--{name}")
    parser.add_argument("--duration", type=lambda text: float(text.removesuffix("s")))
    parser.add_argument("--latency", action="store_true")
    parser.add_argument("url")
    arguments = parser.parse_args()
    bodies = cycle(Path(os.environ["BODIES"]).read_text().splitlines())
    statuses = []
    started_s = time.monotonic()
    with httpx.Client(headers={"Content-Type": "application/json"}) as client:
        while time.monotonic() < started_s + arguments.duration:
            answer = client.post(f"{arguments.url}/v1/classify", content=next(bodies))
            statuses.append(answer.status_code)
    seconds = time.monotonic() - started_s
    mean_ms = 1e3 * seconds / len(statuses)
    summary = {"requests": len(statuses), "seconds": seconds, "p50_ms": mean_ms, "p99_ms": mean_ms}
    print(json.dumps(summary | {"bad": sum(status != 200 for status in statuses)}))


if __name__ == "__main__":
    main()
