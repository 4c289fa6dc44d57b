"""Load at 32 clients with a SIGTERM in the middle; counts what was lost.

`python -m tests.benchmarks.drain`

A request is accepted when the server has logged it, lost when it was accepted and its client has
no complete answer. Resets of connections that the server never read are counted apart.
"""

import argparse
import json
import threading
import time
from collections import Counter
from pathlib import Path

import httpx

from tests.support.processes import ROOT, serving


def client(server, number, until, texts, outcomes):
    with httpx.Client(base_url=server.url, timeout=30) as http:
        turn = 0
        while time.monotonic() < until:
            turn += 1
            request_id = f"{number}-{turn}"
            try:
                response = http.post(
                    "/v1/classify",
                    json={"texts": [texts[(number + turn) % len(texts)]], "truncate": True},
                    headers={"X-Request-Id": request_id},
                )
                outcomes[request_id] = str(response.status_code)
            except httpx.ConnectError:
                return
            except httpx.TransportError as error:
                outcomes[request_id] = type(error).__name__
                return


def run(registry, texts, seconds, clients):
    """(exit status, seconds to exit, outcome of each request by its id, ids that were accepted)."""
    outcomes = {}
    with serving(registry) as server:
        until = time.monotonic() + seconds
        threads = [
            threading.Thread(target=client, args=(server, n, until, texts, outcomes))
            for n in range(clients)
        ]
        for thread in threads:
            thread.start()
        time.sleep(seconds / 2)
        signalled = time.monotonic()
        server.process.terminate()
        status = server.process.wait(60)
        exit_s = time.monotonic() - signalled
        for thread in threads:
            thread.join(60)
        lines = [json.loads(line) for line in server.log().splitlines() if line.startswith("{")]
    accepted = {line["request_id"] for line in lines if line.get("path") == "/v1/classify"}
    return status, exit_s, outcomes, accepted


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--registry", type=Path, default=ROOT / "models/registry")
    parser.add_argument("--seconds", type=float, default=30)
    parser.add_argument("--clients", type=int, default=32)
    arguments = parser.parse_args()
    texts = ["A warm, funny and moving film.", "The battery died after two days of light use."]
    status, exit_s, outcomes, accepted = run(
        arguments.registry, texts, arguments.seconds, arguments.clients
    )
    lost = {i: outcomes.get(i) for i in accepted if outcomes.get(i) != "200"}
    print(f"exit status {status}, {exit_s:.2f} s after SIGTERM")
    print(f"requests by outcome: {dict(Counter(outcomes.values()))}")
    print(f"accepted: {len(accepted)}, accepted requests lost: {len(lost)} {lost or ''}")


if __name__ == "__main__":
    main()
