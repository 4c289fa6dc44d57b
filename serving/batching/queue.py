"""Texts that wait: whose, how long, and when their turn is. Pure.

It does not know which of them are run together: that is scheduler.py.
"""

from bisect import bisect_left, insort
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from heapq import merge
from operator import attrgetter
from typing import Any, NamedTuple

from serving.bundles.bundle import VariantKey

Clock = Callable[[], float]


class Flow(NamedTuple):
    """Whose texts, and how urgent: 0 to 7 as in RFC 9218, where 3 is usual and 7 background."""

    caller: str = ""
    urgency: int = 3

    @property
    def weight(self) -> float:
        """Its part of the slots beside other flows: each level has half of the one before."""
        return 2.0 ** (3 - self.urgency)


ONLY_FLOW = Flow()


@dataclass(frozen=True, slots=True)
class Terms:
    """How a request wants to be answered.

    `deadline_s` is on the batcher's clock. It is kept before the work, not after: a text whose
    batch has begun is answered even when the batch ends late. With `reuse`, what is known or runs
    already is not run again. `since_s`: see Scheduler.add.
    """

    deadline_s: float
    truncate: bool = False
    flow: Flow = ONLY_FLOW
    reuse: bool = True
    since_s: float | None = None


class Backlog(NamedTuple):
    """What there is to do at one moment: predicted seconds of slot time, waiting and running.

    `pace` is how many real seconds a predicted one takes of late.
    """

    waiting_s: Mapping[Flow, float] = {}
    running_s: float = 0.0
    slots: int = 1
    pace: float = 1.0

    @property
    def total_s(self) -> float:
        """Until a slot is free when nothing more arrives."""
        return self._real_s(sum(self.waiting_s.values()))

    def wait_s(self, flow: Flow, more_s: float = 0.0) -> float:
        """Until all that a flow has waiting, and so much more, has had its turn.

        While it is served, another flow gets at most as much as their weights say.
        """
        own_s = self.waiting_s.get(flow, 0.0) + more_s
        return self._real_s(
            sum(
                waiting_s if other == flow else min(waiting_s, own_s * other.weight / flow.weight)
                for other, waiting_s in self.waiting_s.items()
            )
        )

    def _real_s(self, waiting_s: float) -> float:
        return max(0.0, waiting_s + self.running_s) / self.slots * self.pace


@dataclass(frozen=True, slots=True, order=True)
class Waiting:
    """A text in the queue, ordered by length, then by arrival.

    `turn` says when it goes: the fair time at which it starts, then arrival. `owner` is the
    caller's own and never looked at.
    """

    length: int
    arrival: int
    variant: VariantKey = field(compare=False)
    owner: Any = field(compare=False)
    flow: Flow = field(compare=False)
    turn: tuple[float, int] = field(compare=False)


_turn = attrgetter("turn")


@dataclass(slots=True)
class Queue:
    """The texts that wait for one variant."""

    arrivals: set[int] = field(default_factory=set)
    by_flow: dict[Flow, list[Waiting]] = field(default_factory=dict)
    """Of each flow, in turn."""
    by_length: list[Waiting] = field(default_factory=list)

    def add(self, text: Waiting) -> None:
        """One more."""
        self.arrivals.add(text.arrival)
        insort(self.by_flow.setdefault(text.flow, []), text, key=_turn)
        insort(self.by_length, text)

    def __contains__(self, text: Waiting) -> bool:
        return text.arrival in self.arrivals

    def remove(self, text: Waiting) -> None:
        """One that is in it."""
        self.arrivals.remove(text.arrival)
        flow = self.by_flow[text.flow]
        del flow[bisect_left(flow, text.turn, key=_turn)]
        if not flow:
            del self.by_flow[text.flow]
        del self.by_length[bisect_left(self.by_length, text)]

    def in_turn(self) -> Iterator[Waiting]:
        """All, that whose turn it is first."""
        return merge(*self.by_flow.values(), key=_turn)
