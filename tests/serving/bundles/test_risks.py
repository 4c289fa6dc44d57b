"""Which of a manifest's figures bounds what altered texts cost and groups differ by."""

from serving.bundles.risks import group_gap, stress_drop
from tests.support.bundles import manifest_of
from tests.support.risks import group_report, robustness


def test_the_gap_is_that_whose_upper_end_bounds_all_and_not_the_largest_value():
    found = manifest_of("tiny", 1, 0.9).model_copy(
        update={"group_report": group_report((0.1, 0.12), (0.05, 0.3), (0.08, 0.1))}
    )

    gap = group_gap(found)

    assert (gap.column, gap.gap.value, gap.gap.high) == ("region1", 0.05, 0.3)
    assert (gap.lowest, gap.highest, gap.label) == ("south", "north", None)


def test_what_was_not_measured_is_none():
    found = manifest_of("tiny", 1, 0.9)

    assert (stress_drop(found), group_gap(found)) == (None, None)
    without = found.model_copy(update={"group_report": group_report()})
    assert group_gap(without) is None
    drop = stress_drop(found.model_copy(update={"robustness": robustness(0.1, 0.2)}))
    assert (drop.kind, drop.drop.high) == ("typos", 0.2)
