"""Which texts run together: the first in order, or texts of similar length. Pure."""

from collections.abc import Iterable, Sequence
from itertools import islice
from math import inf
from operator import attrgetter

from serving.batching.queue import Queue, QueuedText
from serving.inference.cost_model import Lane
from serving.inference.packing import lay_out

# A choice among all queued texts would pad least, but texts of unusual lengths would wait until
# they are the oldest.
_FEWEST_CANDIDATES = 16
_CANDIDATES_SHARE = 4
_MOST_CANDIDATES = 128
# Other requests, and small ones where the engine cannot run them beside it, wait for a batch of a
# larger one. Longer batches would run it at most a few percent faster.
_LARGE_BATCH_S = 0.02
# Where one text alone takes about as long, as on a GPU, a batch of them takes hardly longer.
_LARGE_BATCH_TEXTS = 2
_length = attrgetter("length")


class LaneQueue(Queue):
    """A variant's queue, and its lane."""

    __slots__ = ("lane",)

    def __init__(self, lane: Lane) -> None:
        super().__init__()
        self.lane = lane


def longest_s(first: QueuedText, lane: Lane) -> float:
    """Return how long a batch that begins with a text of a larger request may take."""
    return max(_LARGE_BATCH_S, _LARGE_BATCH_TEXTS * lane.alone_s[first.length])


def take(queue: LaneQueue, first: QueuedText, most_texts: int) -> tuple[list[QueuedText], int, int]:
    """Take a batch out of the queue; return its texts, and the rows and tokens of its grid.

    A packed batch takes the texts after the first in order, up to the token budget. A padded one
    grows from it, within the same limits, towards the neighbour in length with the better predicted
    speed-up over running the texts one by one, and ends at the best size seen; its neighbours are
    among the texts that are next in order, so that none waits much longer. No batch takes texts of
    requests larger than that of its first, and one that begins with a text of a larger request is
    short.
    """
    lane, size = queue.lane, first.flow.size
    most_s = longest_s(first, lane) if size else inf
    if lane.packed:
        texts = first_in_order(queue.in_order(size), lane, most_texts, most_s)
        queue.remove_first(texts)
        layout = lay_out(tuple([text.length for text in texts]), packed=True)
        return texts, layout.rows, layout.tokens
    oldest = list(islice(queue.in_order(size), candidates(queue.texts)))
    texts = grow(oldest, lane, most_texts, most_s)
    for text in texts:
        queue.remove(text)
    return texts, len(texts), texts[-1].length


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
