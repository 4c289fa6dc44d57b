"""What warm-up decides for engines of known speed."""

import numpy as np
import pytest

from serving.inference.packing import lay_out
from serving.inference.warmup import single_text_speedup, warm_up
from tests.support.bundles import encoded
from tests.support.fake_clock import FakeClock


class Timed:
    def __init__(self, seconds, *, packed=True, slots=2):
        self.packed = packed
        self.slots = slots
        self.cells = []
        self.clock = FakeClock()
        self._seconds = seconds

    def example(self, length):
        (encoding,) = encoded([1] * length)
        return encoding

    def run(self, batch):
        cells = lay_out([item.length for item in batch], packed=self.packed).cells
        self.cells.append(cells)
        # All slots run the same at once, so that each takes its share of what passes.
        self.clock.advance(self._seconds(cells) / self.slots)
        return np.zeros((len(batch), 2), np.float32)


@pytest.mark.parametrize("packed", [True, False])
def test_an_engine_whose_runs_cost_much_gets_the_largest_batches_allowed(packed):
    engine = Timed(lambda cells: 0.008 + 1e-5 * cells, packed=packed)

    lane = warm_up(engine, max_length=128, max_batch_tokens=1024, clock=engine.clock)

    assert lane.max_batch_tokens == 1024
    assert lane.packed == packed
    assert lane.seconds(16, 64) == pytest.approx(0.018, rel=0.02)


@pytest.mark.parametrize("packed", [True, False])
def test_an_engine_that_is_slow_beyond_a_size_is_kept_below_it(packed):
    engine = Timed(lambda cells: cells * (5e-5 if cells <= 64 else 1e-4), packed=packed)

    assert (
        warm_up(
            engine, max_length=128, max_batch_tokens=32_768, clock=engine.clock
        ).max_batch_tokens
        <= 64
    )


def test_batches_that_would_make_others_wait_are_not_tried():
    engine = Timed(lambda cells: 0.001 + 2e-4 * cells)

    warm_up(engine, max_length=64, max_batch_tokens=32_768, clock=engine.clock)

    assert max(engine.cells) * 2e-4 < 0.3


def test_a_wide_engine_is_compared_with_a_narrow_one_in_turns():
    narrow, wide = Timed(lambda _: 0.004, slots=1), Timed(lambda _: 0.002, slots=1)
    wide.clock = narrow.clock

    assert single_text_speedup(narrow, wide, 32, narrow.clock) == pytest.approx(2.0)
    assert set(narrow.cells) == {32}
