import pytest

from serving.batching.pace import Pace


def test_it_is_1_before_anything_was_measured():
    assert Pace().ratio == 1.0


@pytest.mark.parametrize("ratio", [0.25, 1.0, 3.0])
def test_it_follows_what_batches_take(ratio):
    pace = Pace()
    for _ in range(3):
        pace.count(2.0, 2.0 * ratio, beside=False)

    assert pace.ratio == pytest.approx(ratio)


def test_the_last_twenty_batches_count_for_most():
    pace = Pace()
    for _ in range(100):
        pace.count(1.0, 1.0, beside=False)
    for _ in range(20):
        pace.count(1.0, 2.0, beside=False)

    assert 1.6 < pace.ratio < 1.7


def test_batches_beside_others_are_in_the_seconds_of_the_next_that_is_not():
    pace = Pace()
    pace.count(1.0, 9.0, beside=True)
    pace.count(1.0, 9.0, beside=True)
    assert pace.ratio == 1.0

    pace.count(2.0, 4.0, beside=False)
    assert pace.ratio == 1.0
    pace.count(2.0, 4.0, beside=False)
    assert pace.ratio == pytest.approx((0.95 * 4 + 4) / (0.95 * 4 + 2))


def test_nothing_predicted_says_nothing():
    pace = Pace()
    pace.count(0.0, 1.0, beside=False)

    assert pace.ratio == 1.0
