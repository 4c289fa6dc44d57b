"""Which texts run together: the first in order, or texts of similar length. Pure."""

from collections.abc import Iterable, Sequence
from itertools import islice
from operator import attrgetter

from serving.batching.queue import QueuedText
from serving.inference.cost_model import Lane

# A choice among all queued texts would pad least, but texts of unusual lengths would wait until
# they are the oldest.
_FEWEST_CANDIDATES = 16
_CANDIDATES_SHARE = 4
_MOST_CANDIDATES = 128
_length = attrgetter("length")


def first_in_order(
    in_order: Iterable[QueuedText], lane: Lane, most_texts: int, most_s: float
) -> list[QueuedText]:
    """Take the first texts in order, at least one."""
    texts: list[QueuedText] = []
    tokens, seconds = 0, 0.0
    for text in islice(in_order, most_texts):
        tokens += text.length
        seconds += text.share_s
        if texts and (tokens > lane.max_batch_tokens or seconds > most_s):
            break
        texts.append(text)
    return texts


def candidates(queued: int) -> int:
    """Return how many of the queued texts, in order, a padded batch may choose from."""
    return min(_MOST_CANDIDATES, max(_FEWEST_CANDIDATES, queued // _CANDIDATES_SHARE))


def grow(
    oldest: Sequence[QueuedText], lane: Lane, most_texts: int, most_s: float
) -> list[QueuedText]:
    """Find the best run of neighbours in length that contains the first text, shortest first.

    Of texts of equal length those that are next in order are nearer to it.
    """
    length = oldest[0].length
    shorter = sorted([text for text in reversed(oldest) if text.length < length], key=_length)
    others = sorted([text for text in oldest if text.length >= length], key=_length)
    seconds, alone_s, budget_tokens = lane.seconds, lane.alone_s, lane.max_batch_tokens
    longest, saved_s = length, alone_s[length]
    below, above = len(shorter), 1
    best = (1.0, below, above)
    for texts in range(2, min(most_texts, len(oldest)) + 1):
        down = up = 0.0
        if below and texts * longest <= budget_tokens:
            with_shorter_s = saved_s + alone_s[shorter[below - 1].length]
            batch_s = seconds(texts, longest)
            down = with_shorter_s / batch_s if batch_s <= most_s else 0.0
        if above < len(others) and texts * others[above].length <= budget_tokens:
            with_longer_s = saved_s + alone_s[others[above].length]
            batch_s = seconds(texts, others[above].length)
            up = with_longer_s / batch_s if batch_s <= most_s else 0.0
        if down > up:
            below, saved_s = below - 1, with_shorter_s
        elif up:
            longest, above, saved_s = others[above].length, above + 1, with_longer_s
        else:
            break
        best = max(best, (max(down, up), below, above))
    return shorter[best[1] :] + others[: best[2]]
