"""What a request's windows cost, without a server."""

from serving.access.rate_limits import Limits, LimitUse, charges_windows


def test_several_variants_that_read_the_same_windows_cost_them_once():
    use = LimitUse(clock=lambda: 0.0)
    use.enter("a", Limits(texts_per_s=100))
    charge = charges_windows(lambda texts: use.charge("a", texts))

    for windows in (0, 5, 3, 5, 9):
        charge(windows)

    assert use._uses["a"].texts == 100 - 1 - 9
