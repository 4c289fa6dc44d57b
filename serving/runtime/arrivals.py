"""Requests whose bodies are still arriving: they have a bound of their own and take no room."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from serving.batching.queue import Clock
from serving.errors import Overloaded
from serving.runtime.in_flight import InFlight

# A body that takes longer is given up for one that has just begun, once there are too many.
_GRACE_S = 1.0
_RETRY_AFTER_S = 1


class Arrivals:
    """At most so many bodies at a time; those that have arrived are counted in `in_flight`."""

    def __init__(self, in_flight: InFlight, most: int, clock: Clock) -> None:
        self._in_flight = in_flight
        self._most = most
        self._clock = clock
        self._began_s: dict[Callable[[], None], float] = {}

    @contextmanager
    def arriving(self, give_up: Callable[[], None], *, perhaps: bool = False) -> Iterator[None]:
        """Take a request that is in flight out of the count while its body arrives.

        `give_up` ends its wait. Raises Overloaded when there are too many, none of them slow; of
        bodies that have `perhaps` arrived already, when there are twice as many.
        """
        full = len(self._began_s) >= self._most
        most = 2 * self._most if perhaps else self._most
        # One at a time: to give up thousands at once would hold up everybody.
        if full and not self._give_up_a_slow_one() and len(self._began_s) >= most:
            raise Overloaded(
                f"the server is receiving {most} bodies; retry after the Retry-After delay",
                limit=most,
                value=len(self._began_s) + 1,
                retry_after_s=_RETRY_AFTER_S,
            )
        self._began_s[give_up] = self._clock()
        self._in_flight.requests -= 1
        try:
            yield
        finally:
            self._in_flight.requests += 1
            self._began_s.pop(give_up, None)

    def _give_up_a_slow_one(self) -> bool:
        oldest, began_s = next(iter(self._began_s.items()))
        if self._clock() - began_s < _GRACE_S:
            return False
        del self._began_s[oldest]
        oldest()
        return True
