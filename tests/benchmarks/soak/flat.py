"""Whether something has stayed flat over the requests of a soak."""

from dataclasses import dataclass

import numpy as np
from scipy.stats import theilslopes

MEMORY_SHARE, MEMORY_BYTES = 0.1, 32 << 20
"""Memory may grow by the larger of these between 10 % and 100 % of the requests."""
COUNT_SHARE, COUNT = 0.05, 4
"""Descriptors, threads, files and label sets may grow by the larger of these."""
JUDGED_REQUESTS = 200_000
"""Below these, caches and allocators are still filling, and nothing is judged."""
_DAY_S = 86_400
_WINDOW = 0.1


@dataclass
class Verdict:
    """`early` and `late` are lower quartiles of 10 to 20 %, and 90 to 100 %, of the requests.

    While a version is loaded beside the one that it replaces, memory is that of both.
    """

    name: str
    early: float
    late: float
    bound: float
    a_day: float
    """The median slope (Theil and Sen) after 10 %, over a day at this pace."""
    low: float
    """The lower end of its 95 % interval."""

    @property
    def flat(self):
        return self.late - self.early <= self.bound


def verdict(name, samples, share, most):
    """Judge one field of the samples."""
    last = samples[-1].requests

    def within(low, high):
        found = [s for s in samples if low * last <= s.requests <= high * last]
        return [getattr(each, name) for each in found]

    early = float(np.quantile(within(_WINDOW, 2 * _WINDOW) or within(0, 1), 0.25))
    late = float(np.quantile(within(1 - _WINDOW, 1), 0.25))
    after = [each for each in samples if each.requests >= _WINDOW * last]
    slope = low = 0.0
    if len(after) > 2:
        values = [getattr(each, name) for each in after]
        slope, _, low, _ = theilslopes(values, [each.seconds for each in after])
    return Verdict(name, early, late, max(share * early, most), slope * _DAY_S, low * _DAY_S)


def verdicts(samples):
    """Judge everything that must not grow."""
    return [
        *(verdict(name, samples, MEMORY_SHARE, MEMORY_BYTES) for name in ("rss", "pss")),
        *(
            verdict(name, samples, COUNT_SHARE, COUNT)
            for name in ("descriptors", "threads", "files", "label_sets")
        ),
    ]
