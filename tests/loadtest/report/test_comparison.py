"""What is said of one change between two reports."""

import pytest

from loadtest.analysis.compare import compare
from loadtest.report.comparison import change_text
from tests.support.reports import report


def with_a_backlog():
    """A report of servers that answered every request, but did not keep up with one load."""
    slow = report()
    for variant in slow["variants"]:
        variant["loads"]["open-80%"]["sustained"] = False
    return slow


@pytest.mark.parametrize(("is_after", "verdict"), [(True, "Worse"), (False, "Better")])
def test_a_load_that_was_answered_too_late_is_not_said_to_be_unanswered(is_after, verdict):
    sides = (report(), with_a_backlog()) if is_after else (with_a_backlog(), report())
    lost = [each for each in compare(*sides) if each.load == "open-80%" and each.p_value is None]
    said = {change_text(each) for each in lost}

    assert len(said) == 2 * len(report()["variants"])
    none = "none (not kept up with, or too much unanswered)"
    for each in said:
        assert each.startswith(f"{verdict}: p")
        before, after = each.partition(", from ")[2].split(" to ")
        assert (after if is_after else before) == none
        assert float(before if is_after else after) > 0.0
