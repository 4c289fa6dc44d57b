"""The mix of text lengths that warm-up measures, in the batches that each layout makes. Pure."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import pairwise

from serving.inference.inputs import grouped

# Sixteen quantiles of a log-normal distribution with the median and the tail of sentences from
# reviews (median 21 tokens, sigma 0.68), shuffled.
USUAL_LENGTHS = (6, 20, 52, 16, 36, 12, 28, 9, 22, 74, 18, 42, 14, 31, 11, 25)


def in_order(lengths: Iterable[int], budget_tokens: int) -> Iterator[list[int]]:
    """Yield batches up to the budget, as the scheduler takes packed texts; any text fits alone."""
    return grouped(lengths, int, budget_tokens)


def by_length(
    lengths: Sequence[int], budget_tokens: int, seconds: Callable[[int, int], float]
) -> list[list[int]]:
    """Return the fastest batches of neighbours in length, each within the budget when padded.

    `seconds(texts, length)` predicts a batch. Dynamic programming over the sorted lengths.
    """
    ordered = sorted(lengths)
    best_s, starts = [0.0], [0]
    for stop, longest in enumerate(ordered, 1):
        options = [
            (best_s[start] + seconds(stop - start, longest), start)
            for start in range(stop)
            if start == stop - 1 or (stop - start) * longest <= budget_tokens
        ]
        took_s, start = min(options)
        best_s.append(took_s)
        starts.append(start)
    cuts = [len(ordered)]
    while cuts[-1]:
        cuts.append(starts[cuts[-1]])
    return [ordered[start:stop] for start, stop in pairwise(reversed(cuts))]
