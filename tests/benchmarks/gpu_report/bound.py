"""What bound, reused buffers would gain: one batch run over and over, with and without them.

The server binds nothing yet. The gain here is the most that it could be: the batch keeps its shape,
so that no buffer is ever made again. Each thread has buffers of its own, and so a stream's worth of
work beside the other's.
"""

import statistics
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import onnxruntime

from serving.inference.ort_engine import OrtEngine

THREADS = (1, 2)
ROUNDS = 3


class Bound:
    """The batch's inputs and its logits in buffers on the device; `run` writes and reads them."""

    def __init__(self, session, feed, output, device):
        self._session, self._feed, self._output = session, feed, output
        self._binding = session.io_binding()
        self._inputs = {
            name: onnxruntime.OrtValue.ortvalue_from_numpy(value, device, 0)
            for name, value in feed.items()
        }
        for name, value in self._inputs.items():
            self._binding.bind_ortvalue_input(name, value)
        shape = np.asarray(session.run([output], feed)[0]).shape
        self._logits = onnxruntime.OrtValue.ortvalue_from_shape_and_type(
            shape, np.float32, device, 0
        )
        self._binding.bind_ortvalue_output(output, self._logits)

    def run(self):
        for name, value in self._inputs.items():
            value.update_inplace(self._feed[name])
        self._session.run_with_iobinding(self._binding)
        return self._logits.numpy()


def bound_and_plain_s(bundle, resources, batch, seconds):
    """Seconds of a batch either way by threads, and how far the logits are apart."""
    engine = OrtEngine(bundle, resources)
    session, output = engine._session, engine._signature.output
    feed = engine._signature.feed(batch)

    def plain():
        return session.run([output], feed)[0]

    found = {"batch_texts": len(batch), "threads": {}}
    for threads in THREADS:
        bound = [Bound(session, feed, output, resources.device) for _ in range(threads)]
        difference = float(np.abs(bound[0].run() - plain()).max())
        rounds = [
            (
                batch_s([plain] * threads, seconds / 2),
                batch_s([each.run for each in bound], seconds / 2),
            )
            for _ in range(ROUNDS)
        ]
        found["threads"][str(threads)] = {
            "plain_s": statistics.median(plain_s for plain_s, _ in rounds),
            "bound_s": statistics.median(bound_s for _, bound_s in rounds),
            "plain_to_bound": statistics.median(p / b for p, b in rounds),
            "logits_differ_by": difference,
        }
    return found


def batch_s(runs, seconds):
    """Seconds of one batch while each of `runs` has a thread of its own."""

    def work(run):
        until_s, count = time.perf_counter() + seconds, 0
        while time.perf_counter() < until_s:
            run()
            count += 1
        return count

    began_s = time.perf_counter()
    with ThreadPoolExecutor(len(runs)) as pool:
        batches = sum(pool.map(work, runs))
    return (time.perf_counter() - began_s) / batches
