from copy import copy
from threading import Barrier, Thread

from serving.inference.single_text_engine import SingleTextEngine


class Seen:
    packed = True
    preempts = False
    example = None

    def __init__(self, slots, barrier=None):
        self.slots = slots
        self.batches = []
        self._barrier = barrier

    def unpacked(self):
        other = copy(self)
        other.packed = False
        return other

    def run(self, batch):
        self.batches.append(batch)
        if self._barrier:
            self._barrier.wait()
            self._barrier.wait()
        return batch


def test_a_text_that_comes_alone_takes_the_wide_engine_and_a_batch_does_not():
    many, one = Seen(slots=2), Seen(slots=1)
    engine = SingleTextEngine(many, one)

    engine.run([[1]])
    engine.run([[1], [2]])
    engine.run([[3]])

    assert one.batches == [[[1]], [[3]]]
    assert many.batches == [[[1], [2]]]
    assert engine.slots == 2
    assert not engine.preempts


def test_a_text_beside_another_run_does_not_take_cores_from_it():
    barrier = Barrier(2, timeout=10)
    many, one = Seen(slots=2), Seen(slots=1, barrier=barrier)
    engine = SingleTextEngine(many, one)
    first = Thread(target=engine.run, args=([[1]],), daemon=True)
    first.start()
    barrier.wait()

    engine.run([[2]])

    barrier.wait()
    first.join(10)
    assert one.batches == [[[1]]]
    assert many.batches == [[[2]]]


def test_without_shared_rows_neither_engine_shares_them():
    many, one = Seen(slots=2), Seen(slots=1)
    engine = SingleTextEngine(many, one)

    unpacked = engine.unpacked()
    unpacked.run([[1]])

    assert (engine.packed, unpacked.packed, unpacked.slots) == (True, False, 2)
    assert one.batches == [[[1]]]
