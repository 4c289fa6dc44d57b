"""Drift: whether the share of some event is still what calibration measured. Pure."""

import math
from collections.abc import Iterator

SIDES = ("lower", "higher")
_ODDS = 1.5
_STEPS = (1.0, 3.0, 9.0)
_LARGEST_BET = 0.9
_DRIFT_ALARM = 1e6
_EXCESS_ALARM = 1e3
_FORGOTTEN = 1e-4
_FIRST_BLOCKS = 20


class Drift:
    """Two e-CUSUMs (Shin, Ramdas and Rinaldo 2024): the share of events is higher, or lower.

    They test against the ends of the calibrated interval of the share, and raise a false alarm at
    most twice in a million blocks on average, while the share of all texts together stays in it.
    An alarm ends once the evidence for it has gone. The alarm is of this server's texts alone; what
    its bets have won and lost can be added to that of other servers (`wealth`).
    """

    def __init__(self, low: float, high: float) -> None:
        """0 <= low <= high <= 1; a bound of 0 or 1 is not tested."""
        self._tests = [_Test(low, 1 / _ODDS, _DRIFT_ALARM), _Test(high, _ODDS, _DRIFT_ALARM)]

    def add(self, texts: int, hits: int) -> None:
        """Add a block of texts, of which `hits` are events.

        A block is a request, or what an HTTP process has counted in 50 ms. Its texts may depend on
        each other in any way, so it is one bet, as large as it has texts.
        """
        for test in self._tests:
            test.add(texts, hits)

    def wealth(self) -> Iterator[tuple[str, str, float]]:
        """Yield side, stake and the logarithm of its capital if it had never started again.

        What the same stake has won on several servers in the same time is added up: each request
        is one bet of one of them, so the product of their capitals is what one player has who has
        made all the bets, and an e-value as well. A server's first blocks do not count: it does not
        know yet how large a block may be, and would bet too much on small ones.
        """
        for side, test in zip(SIDES, self._tests, strict=True):
            for step, wealth in zip(_STEPS, test.wealth, strict=False):
                yield side, f"{step:g}", wealth

    @property
    def drifted(self) -> bool:
        """Whether an alarm is raised."""
        return any(test.raised for test in self._tests)


class Excess:
    """An e-CUSUM: whether the share of some event now exceeds what is allowed.

    Evidence starts again whenever it has gone, so what was long ago does not dilute what is now.
    While the share is what is allowed, it raises a false alarm at most once in a thousand blocks
    on average; at half of that share, in the simulations, never.
    """

    def __init__(self, allowed: float) -> None:
        """0 <= allowed <= 1; a share of 0 or 1 is not tested."""
        self._allowed = allowed
        self._test = _Test(allowed, _ODDS, _EXCESS_ALARM)
        self._texts = self._hits = 0

    def add(self, texts: int, hits: int) -> None:
        """Add a block of texts, as `Drift.add` does."""
        self._test.add(texts, hits)
        if self._test.doubted:
            self._texts = self._hits = 0
        else:
            self._texts += texts
            self._hits += hits

    @property
    def least(self) -> float:
        """A lower bound of the share since the evidence began; beyond what is allowed on alarm."""
        least = lower_bound(self._hits, self._texts)
        return least if self._test.raised else min(least, self._allowed)


class _Test:
    """Bets on each block that the share of all texts is beyond `share`, at several stakes at once.

    A bet is proportional to the block's texts, because large blocks may have another share than
    small ones: then the expected factor of each capital is at most 1 if the share of all texts is
    not beyond, whatever ties the texts of a block together. The largest block so far, slowly
    forgotten, is a whole bet. Small stakes win if the share hardly moves, large ones if it moves
    far or the blocks are large.
    """

    def __init__(self, share: float, odds: float, alarm: float) -> None:
        self.raised = False
        self._share = share
        self._stakes: list[float] = []
        if 0 < share < 1:
            other = share * odds / (1 - share + share * odds)
            # The likelihood ratio of single texts, as a bet.
            least = (other - share) / (share * (1 - share))
            most = _LARGEST_BET / (share if odds > 1 else share - 1)
            bounded = min if odds > 1 else max
            self._stakes = [bounded(step * least, most) for step in _STEPS]
        self._alarm = math.log(alarm * len(_STEPS))
        self._evidence = [0.0] * len(self._stakes)
        self.wealth = [0.0] * len(self._stakes)
        self._raised_by = 0
        self._whole = 1.0
        self._blocks = 0

    def add(self, texts: int, hits: int) -> None:
        self._blocks += 1
        self._whole = max(texts, self._whole * (1 - _FORGOTTEN))
        evidence, moved = self._evidence, (hits - self._share * texts) / self._whole
        for number, stake in enumerate(self._stakes):
            won = math.log1p(stake * moved)
            if self._blocks > _FIRST_BLOCKS:
                self.wealth[number] += won
            now = evidence[number] + won
            evidence[number] = min(max(0.0, now), self._alarm)
            if now >= self._alarm and not self.raised:
                self.raised, self._raised_by = True, number
        if self.raised and not evidence[self._raised_by]:
            self.raised = False
            evidence[:] = [0.0] * len(evidence)

    @property
    def doubted(self) -> bool:
        """Whether there is no evidence at all."""
        return not any(self._evidence)


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
