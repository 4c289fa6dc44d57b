"""Which variants a family's floor allows: those whose figures show it, by their bounds."""

from pathlib import Path

import pytest

from serving.bundles.bundle import Bundle
from serving.bundles.traffic import Deployment, Deployments, Floor, Policy, without
from tests.support.bundles import manifest_of
from tests.support.risks import group_report, robustness

MEASURED = manifest_of("tiny", 1, 0.9).model_copy(
    update={"robustness": robustness(0.1, 0.2), "group_report": group_report((0.05, 0.3))}
)
BARE = manifest_of("bare", 1, 0.95)


@pytest.mark.parametrize(
    ("keys", "allows"),
    [
        ({}, True),
        ({"min_accuracy": 0.88}, True),
        ({"min_accuracy": 0.89}, False),
        ({"max_stress_drop": 0.2}, True),
        ({"max_stress_drop": 0.15}, False),
        ({"max_group_gap": 0.3}, True),
        ({"max_group_gap": 0.1}, False),
        ({"min_accuracy": 0.88, "max_stress_drop": 0.2, "max_group_gap": 0.29}, False),
    ],
)
def test_a_variant_is_allowed_by_the_bounds_of_its_intervals(keys, allows):
    assert Floor(**keys).allows(MEASURED) is allows


@pytest.mark.parametrize("key", ["max_stress_drop", "max_group_gap"])
def test_what_was_not_measured_is_not_shown(key):
    assert not Floor(**{key: 1.0}).allows(BARE)
    assert not Floor(min_accuracy=0.1).allows(manifest_of("new", 1, None))


@pytest.mark.parametrize("value", [-0.1, 1.1, "0.1", float("nan")])
def test_a_floor_out_of_range_is_refused(value):
    with pytest.raises(ValueError, match="max_stress_drop"):
        Floor(max_stress_drop=value)


def test_a_family_goes_once_nothing_that_reaches_its_floor_is_left():
    tiny, bare = (Bundle(Path(each.variant), each) for each in (MEASURED, BARE))
    floor = Policy(floor=Floor(max_stress_drop=0.2))
    served = {"tiny": Deployment(tiny), "bare": Deployment(bare)}
    deployments = Deployments({"f": served, "g": served}, policies={"f": floor, "g": Policy()})

    left = {"tiny": Deployment(tiny)}
    assert without(deployments, bare).families == {"f": left, "g": left}
    assert without(deployments, tiny).families == {"g": {"bare": Deployment(bare)}}
