"""Drift: whether the share of some event is still what calibration measured. Pure."""

import math

_ODDS = 1.5
_ALARM = math.log(1e6)


class Drift:
    """Two CUSUMs (Page 1954), upwards and downwards, of the log-likelihood ratios of texts.

    They test odds 1.5 times higher, or lower, than those of the calibrated interval of the share.
    As e-detectors (Shin, Ramdas and Rinaldo 2024) they raise a false alarm at most twice in a
    million texts on average. An alarm ends once the evidence against it outweighs that for it.
    """

    def __init__(self, low: float, high: float) -> None:
        """0 <= low <= high <= 1; a bound of 0 or 1 is not tested."""
        self._tests = [_Test(low, 1 / _ODDS), _Test(high, _ODDS)]

    def add(self, texts: int, hits: int) -> None:
        """Add texts, of which `hits` are events.

        Texts that are added together (those of a request, or what an HTTP process has counted in
        50 ms) count by their sum. That is never more evidence than one by one, so false alarms are
        no more frequent; a true alarm is later, after a clear move by less than two groups.
        """
        for test in self._tests:
            test.add(texts, hits)

    @property
    def drifted(self) -> bool:
        """Whether an alarm is raised."""
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
    """Compute a lower bound of a share, valid at all times at once with probability 1 - alpha.

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
