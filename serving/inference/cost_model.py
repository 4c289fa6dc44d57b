"""The duration of a batch as a function of its shape, fitted to measurements."""

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import accumulate, pairwise


@dataclass(frozen=True, slots=True)
class Sample:
    """One measurement: `texts` rows padded to `length` tokens took `seconds`."""

    texts: int
    length: int
    seconds: float

    @property
    def tokens(self) -> int:
        """Padded tokens."""
        return self.texts * self.length

    @property
    def pairs(self) -> int:
        """Pairs of tokens in attention."""
        return self.texts * self.length**2


@dataclass(frozen=True, slots=True)
class CostModel:
    """seconds = linear(n * L) + attention_s * n * L^2, for n texts of padded length L.

    The cost of the weight products depends on the number of tokens, but not proportionally: kernels
    get more efficient with size until the cache is full. So `linear` interpolates between the
    measured `tokens` and extrapolates with the last slope. Attention is quadratic in the length
    (Vaswani et al. 2017, table 1).
    """

    tokens: tuple[int, ...]
    linear_s: tuple[float, ...]
    attention_s: float
    _table_s: list[float] = field(init=False, repr=False, compare=False)
    """`linear` by the number of tokens, up to the largest measured."""
    _slope_s: float = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        table_s = [self.linear_s[0]] * self.tokens[0]
        slope_s = 0.0
        for (x0, y0), (x1, y1) in pairwise(zip(self.tokens, self.linear_s, strict=True)):
            slope_s = (y1 - y0) / (x1 - x0)
            table_s += [min(y0 + slope_s * step, y1) for step in range(x1 - x0)]
        object.__setattr__(self, "_table_s", [*table_s, self.linear_s[-1]])
        object.__setattr__(self, "_slope_s", slope_s)

    def seconds(self, texts: int, length: int) -> float:
        """Predicted seconds of one run while all slots are busy."""
        rows = texts * length
        attention_s = self.attention_s * rows * length
        beyond = rows - self.tokens[-1]
        if beyond <= 0:
            return self._table_s[rows] + attention_s
        return self._table_s[-1] + beyond * self._slope_s + attention_s


def fit_cost_model(sizes: Sequence[Sample], long: Sequence[Sample]) -> CostModel:
    """Fit `sizes` (different numbers of tokens in short texts) and `long` (single long texts).

    The extra time of a long text over short ones with as many tokens is due to attention: its
    median per pair of tokens over `long`, at least 0, is the coefficient. The linear part is
    non-decreasing. Raises ValueError for fewer than two sizes.
    """
    sizes = sorted({sample.tokens: sample for sample in sizes}.values(), key=lambda s: s.tokens)
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


class _ByLength(dict[int, float]):
    """Seconds by length, each computed once: the scheduler asks for them several times a text."""

    def __init__(self, seconds: Callable[[int], float]) -> None:
        super().__init__()
        self._seconds = seconds

    def __missing__(self, length: int) -> float:
        seconds = self[length] = self._seconds(length)
        return seconds


@dataclass(frozen=True, slots=True)
class Lane:
    """The measured cost of one variant, for the scheduler.

    `seconds(rows, tokens)` predicts the run of one grid. A batch of several texts has at most
    `max_batch_tokens` tokens, padding included unless texts are `packed` (packing.py). A batch of
    small requests that `preempts` starts beside larger ones in every slot, and takes cores from
    them.
    """

    seconds: Callable[[int, int], float]
    max_batch_tokens: int
    packed: bool = False
    preempts: bool = True
    shares_s: dict[int, float] = field(init=False, repr=False, compare=False)
    """Predicted slot time of one text in full batches, by length."""
    alone_s: dict[int, float] = field(init=False, repr=False, compare=False)
    """Predicted time of one text in a batch of its own, by length."""

    def __post_init__(self) -> None:
        def share_s(length: int) -> float:
            texts = max(1, self.max_batch_tokens // length)
            return self.seconds(texts, length) / texts

        object.__setattr__(self, "shares_s", _ByLength(share_s))
        object.__setattr__(self, "alone_s", _ByLength(lambda length: self.seconds(1, length)))

    def share_s(self, length: int) -> float:
        """Predicted slot time of one text in full batches, in seconds."""
        return self.shares_s[length]
