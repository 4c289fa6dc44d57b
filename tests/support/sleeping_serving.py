"""`python -m tests.support.sleeping_serving`: the real server over an engine that only sleeps.

It sleeps as the engine of tests/benchmarks/reference_server.py does, and as a GPU looks from HTTP.
"""

import sys
import time
from pathlib import Path

import serving
from tests.support.null_serving import NullEngine, serve

SLOTS = 2
BATCH_S = 0.002
TEXT_S = 2e-6


class SleepingEngine(NullEngine):
    def __init__(self, bundle, resources):
        super().__init__(bundle, resources)
        self.slots = SLOTS

    def run(self, batch):
        time.sleep(BATCH_S + TEXT_S * len(batch))
        return super().run(batch)


if __name__ == "__main__":
    # Two checkouts are measured in one run: neither may serve the other's code.
    if not Path(serving.__file__).is_relative_to(Path.cwd()):
        sys.exit(f"serving was imported from {serving.__file__}, not from {Path.cwd()}")
    serve(SleepingEngine)
