"""Whether a share of texts is still what it was measured to be. Pure.

It does not know what is counted.
"""

import math

_ODDS = 1.5
_ALARM = math.log(1e6)


class Drift:
    """Two CUSUMs (Page 1954), upwards and downwards, of the log-likelihood ratios of texts.

    They test odds of 1.5 times more, or less, than those of the interval in which the share was
    known to lie. As e-detectors (Shin, Ramdas and Rinaldo 2024) they raise an alarm without cause
    no more often than twice in a million texts on average. An alarm ends when as much speaks
    against it as for it.
    """

    def __init__(self, low: float, high: float) -> None:
        """0 <= low <= high <= 1; a share that cannot move further is not tested that way."""
        self._tests = [_Test(low, 1 / _ODDS), _Test(high, _ODDS)]

    def add(self, texts: int, hits: int) -> None:
        """Some texts more, `hits` of which count."""
        for test in self._tests:
            test.add(texts, hits)

    @property
    def drifted(self) -> bool:
        """Whether the alarm is raised."""
        return any(test.raised for test in self._tests)


class _Test:
    def __init__(self, share: float, odds: float) -> None:
        self.raised = False
        self._evidence = 0.0
        other = share * odds / (1 - share + share * odds)
        tested = 0 < share < 1
        self._hit = math.log(other / share) if tested else 0.0
        self._miss = math.log((1 - other) / (1 - share)) if tested else 0.0

    def add(self, texts: int, hits: int) -> None:
        self._evidence += hits * self._hit + (texts - hits) * self._miss
        self._evidence = min(max(0.0, self._evidence), 2 * _ALARM)
        self.raised = self._evidence >= _ALARM or (self.raised and self._evidence > 0)


def lower_bound(hits: int, texts: int, alpha: float = 0.05) -> float:
    """A bound under a share that holds at all times at once with probability 1 - alpha.

    Robbins' mixture (1970) of binomial likelihoods, by Beta(1/2, 1/2), against the share: the
    least share whose ratio stays under 1 / alpha, by bisection.
    """
    if not hits:
        return 0.0
    misses = texts - hits
    mixed = _log_beta(hits + 0.5, misses + 0.5) - _log_beta(0.5, 0.5)
    low, high = 0.0, hits / texts
    for _ in range(50):
        middle = (low + high) / 2
        against = hits * math.log(middle) + (misses * math.log1p(-middle) if misses else 0.0)
        if mixed - against < math.log(1 / alpha):
            high = middle
        else:
            low = middle
    return low


def _log_beta(a: float, b: float) -> float:
    return math.lgamma(a) + math.lgamma(b) - math.lgamma(a + b)
