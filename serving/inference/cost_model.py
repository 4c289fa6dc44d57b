"""How long one batch takes, as a function of its shape, fitted to measurements.

It does not know how the measurements were taken (warmup.py) or what is decided with them.
"""

import statistics
from bisect import bisect_left
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import accumulate


@dataclass(frozen=True, slots=True)
class Sample:
    """One measured shape: `texts` rows padded to `length` tokens took `seconds`."""

    texts: int
    length: int
    seconds: float

    @property
    def tokens(self) -> int:
        """Padded tokens."""
        return self.texts * self.length

    @property
    def pairs(self) -> int:
        """Pairs of tokens that attention looks at."""
        return self.texts * self.length**2


@dataclass(frozen=True, slots=True)
class CostModel:
    """seconds = linear(n * L) + attention_s * n * L^2, for n texts of padded length L.

    The products with the weights depend on the number of rows alone, but not in proportion:
    kernels get better with more rows until the cache is full. So `linear` interpolates between
    the measured `tokens`, and goes on with the last slope. Attention is quadratic in the length
    (Vaswani et al. 2017, table 1).
    """

    tokens: tuple[int, ...]
    linear_s: tuple[float, ...]
    attention_s: float

    def seconds(self, texts: int, length: int) -> float:
        """Predicted seconds of one run while all slots are busy."""
        rows = max(texts * length, self.tokens[0])
        right = min(max(bisect_left(self.tokens, rows), 1), len(self.tokens) - 1)
        x0, x1 = self.tokens[right - 1], self.tokens[right]
        y0, y1 = self.linear_s[right - 1], self.linear_s[right]
        linear_s = y0 + (rows - x0) * (y1 - y0) / (x1 - x0)
        return linear_s + self.attention_s * texts * length * length


def fit_cost_model(sizes: Sequence[Sample], long: Sequence[Sample]) -> CostModel:
    """Fit `sizes` (rising numbers of tokens in short texts) and `long` (single long texts).

    What a long text takes beyond short ones of as many tokens is attention's; the median over
    `long` of that per pair, at least 0, is the coefficient. The linear part never falls.
    Raises ValueError with fewer than two sizes.
    """
    if len(sizes) < 2:
        raise ValueError(f"a cost model needs at least two sizes, not {len(sizes)}")
    tokens = tuple(sample.tokens for sample in sizes)
    short = CostModel(tokens, tuple(sample.seconds for sample in sizes), 0.0)
    longest_short = max(sample.length for sample in sizes)
    per_pair = [
        (sample.seconds - short.seconds(sample.texts, sample.length))
        / (sample.pairs - sample.tokens * longest_short)
        for sample in long
        if sample.length > longest_short
    ]
    attention_s = max(0.0, statistics.median(per_pair)) if per_pair else 0.0
    linear_s = accumulate((max(0.0, s.seconds - attention_s * s.pairs) for s in sizes), max)
    return CostModel(tokens, tuple(linear_s), attention_s)


@dataclass(frozen=True, slots=True)
class Lane:
    """What the scheduler has to know of one variant.

    `seconds(rows, tokens)` predicts one run of a grid; a batch of more than one text has at most
    `max_batch_tokens` tokens, padded ones included unless texts are `packed` (layout.py).
    """

    seconds: Callable[[int, int], float]
    max_batch_tokens: int
    packed: bool = False

    def share_s(self, length: int) -> float:
        """Predicted seconds of slot time for one text when batches are full."""
        texts = max(1, self.max_batch_tokens // length)
        return self.seconds(texts, length) / texts
