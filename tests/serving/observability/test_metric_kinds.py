import math

import pytest

from serving.observability.metric_kinds import Gauge


@pytest.mark.parametrize(
    ("value", "published"), [(10**400, math.inf), (-(10**400), -math.inf), (7, 7.0)]
)
def test_a_number_beyond_all_floats_does_not_cost_the_page(value, published):
    family = Gauge("bytes", "Bytes.", ("model",)).family({}, {"bytes": {("tone",): value}})

    assert [sample.value for sample in family.samples] == [published]
