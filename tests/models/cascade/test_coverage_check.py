import numpy as np
import pytest

from models.cascade.coverage_check import coverage, coverage_table, pooled, resplit
from tests.support.cascade_problems import COSTS, answers, problem

PARTS = [answers(500, 0), answers(500, 1), answers(900, 2)]


def test_a_re_split_without_a_cascade_saves_nothing():
    pool = pooled(PARTS)
    parts = np.split(np.arange(1900), [500, 540])

    found = resplit(pool, problem(), tuple(parts))

    assert found.loss is None
    assert found.saved == 0
    assert 0 < found.hindsight < 1 - COSTS[0] / COSTS[2]


@pytest.mark.parametrize("loss", ["agreement", "accuracy"])
def test_the_report_says_how_often_the_target_was_missed(loss):
    wanted = problem(loss, 0.05)

    told = coverage_table(coverage(PARTS, wanted, 8), wanted.target)

    *_, without, with_ = told.strip().splitlines()
    for row, way in ((without, "without replacement"), (with_, "with replacement")):
        assert way in row
        _, found, over, mean, saved, hindsight = [
            cell.strip() for cell in row.strip("|").split("|")
        ]
        assert float(found) > 50
        assert float(over.split()[0]) <= 30
        assert float(mean) < 5
        assert 0 < float(saved) < float(hindsight)
