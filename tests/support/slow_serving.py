"""`python -m tests.support.slow_serving`: the real server over an engine that takes its time.

SLOW_LOAD_S and SLOW_BATCH_S say how long, in seconds; the variant `wide` takes SLOW_WIDE times as
long, by default half as long again.
SLOW_SHARE adds this share of each run. While the file SLOW_HOLD exists, no run returns; those that
it holds make a file beside it, whose name ends in .held.
"""

import os
import time
from pathlib import Path

from serving.inference.ort_engine import OrtEngine
from tests.support.null_serving import serve

BATCH_S = float(os.environ.get("SLOW_BATCH_S", "0"))
WIDE = float(os.environ.get("SLOW_WIDE", "1.5"))
SHARE = float(os.environ.get("SLOW_SHARE", "0"))
HOLD = Path(os.environ.get("SLOW_HOLD", os.devnull + "/none"))
LOAD_S = float(os.environ.get("SLOW_LOAD_S", "0"))


class SlowEngine:
    def __init__(self, bundle, resources):
        time.sleep(LOAD_S)
        self._engine = OrtEngine(bundle, resources)
        self._batch_s = BATCH_S * (WIDE if bundle.manifest.variant == "wide" else 1)
        self.slots = self._engine.slots
        self.packed = self._engine.packed
        self.preempts = self._engine.preempts
        self.example = self._engine.example

    def unpacked(self):
        return self

    def run(self, batch):
        time.sleep(self._batch_s)
        while HOLD.exists():
            HOLD.with_suffix(".held").touch()
            time.sleep(0.01)
        started_s = time.perf_counter()
        logits = self._engine.run(batch)
        if SHARE:
            time.sleep(SHARE * (time.perf_counter() - started_s))
        return logits


if __name__ == "__main__":
    serve(SlowEngine)
