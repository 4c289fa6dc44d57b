"""`python -m tests.support.faulty_serving`: the real server, whose engine does what a file says.

FAULTY_ENGINE is that file: `raise`, `raise once`, `raise awful` (where a batch holds that word),
`hang`, `short`, `nan`, `shape`, `slow` (ten times), or nothing. FAULTY_CLOCK is a file of seconds
by which the wall clock is wrong.
"""

import os
import sys
import time
from pathlib import Path

import numpy as np

from serving.errors import EngineFailed, StartError
from serving.inference.ort_engine import OrtEngine
from tests.support.bundles import VOCABULARY
from tests.support.null_serving import serve

HANG_S = 0.01
USUAL_RUN_S = 0.001


def content(variable):
    """What a file says; "" if it is not there."""
    try:
        return Path(os.environ[variable]).read_text().strip()
    except (KeyError, OSError):
        return ""


class FaultyEngine(OrtEngine):
    def run(self, batch):
        if content("FAULTY_ENGINE") == "raise awful" and _holds(batch, "awful"):
            raise RuntimeError("the engine is faulty")
        return super().run(batch)

    def infer(self, feed):
        while (fault := content("FAULTY_ENGINE")) == "hang":
            time.sleep(HANG_S)
        if fault == "raise once":
            Path(os.environ["FAULTY_ENGINE"]).unlink()
        if fault in {"raise", "raise once"}:
            raise RuntimeError("the engine is faulty")
        logits = super().infer(feed)
        if fault == "short":
            return logits[:-1]
        if fault == "nan":
            return np.full_like(logits, np.nan)
        if fault == "shape":
            return logits[:, :1]
        if fault == "slow":
            time.sleep(9 * USUAL_RUN_S * (1 + len(logits)))
        return logits


def _holds(batch, word):
    return any(VOCABULARY.index(word) in item.ids for item in batch)


def fake_wall_clock():
    right = time.time

    def wrong():
        return right() + float(content("FAULTY_CLOCK") or 0)

    time.time = wrong


if __name__ == "__main__":
    fake_wall_clock()
    try:
        serve(FaultyEngine)
    except (StartError, EngineFailed) as error:
        print(f"sizewise cannot start: {error}", file=sys.stderr)
        sys.exit(2)
