import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.reports.scaling_plot import spread

wanted = st.lists(st.floats(0, 1), min_size=1, max_size=30).map(sorted)


@given(wanted, st.floats(0.001, 0.2))
def test_names_stand_apart_in_order_and_inside(positions, gap):
    gap = min(gap, 1 / max(1, len(positions) - 1))

    placed = spread(np.array(positions), gap)

    assert placed[0] >= -1e-9
    assert placed[-1] <= 1 + 1e-9
    assert (np.diff(placed) >= gap - 1e-9).all()


@given(wanted)
def test_names_that_are_far_enough_apart_stay_where_they_are(positions):
    apart = sorted({round(position, 1) for position in positions})

    assert spread(np.array(apart), 0.05) == pytest.approx(apart)


def test_variants_of_one_size_stand_side_by_side_around_it():
    assert spread(np.full(3, 0.5), 0.1) == pytest.approx([0.4, 0.5, 0.6])
