"""Callers come and go: what is counted of them does not grow, and none is forgiven anything."""

import pytest

from serving.access.rate_limits import Limits, LimitUse
from serving.errors import RateLimited

CALLERS = 50_000
LIMITED = [Limits(max_requests=2), Limits(texts_per_s=10.0), Limits(0.5, 2)]


@pytest.mark.parametrize("limits", LIMITED)
def test_callers_that_have_left_are_forgotten(limits):
    now_s = 0.0
    use = LimitUse(lambda: now_s)

    for number in range(CALLERS):
        now_s += 0.01
        use.enter(f"caller {number}", limits)
        use.charge(f"caller {number}", 1)
        use.leave(f"caller {number}")

    assert len(use._uses) < CALLERS / 10


def test_a_caller_that_owes_texts_or_has_requests_in_progress_is_not_forgotten():
    now_s, limits = 0.0, Limits(1.0, 1)
    use = LimitUse(lambda: now_s)
    use.enter("in debt", limits)
    use.charge("in debt", 101)
    use.leave("in debt")
    use.enter("busy", limits)

    for number in range(CALLERS):
        now_s += 0.001
        use.enter(f"caller {number}", limits)
        use.leave(f"caller {number}")

    with pytest.raises(RateLimited, match="texts per second") as refused:
        use.enter("in debt", limits)
    assert 50 <= refused.value.retry_after_s <= 53
    with pytest.raises(RateLimited, match="requests in progress"):
        use.enter("busy", limits)
