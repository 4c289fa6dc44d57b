"""The count of the requests in progress, and the refusal of one that outlives the server."""

from collections.abc import Iterator
from contextlib import contextmanager

from serving.errors import Draining

_DRAINING_RETRY_AFTER_S = 1


class InFlight:
    """Counts the requests in progress: each is handled within `with service.in_flight`.

    Those whose bodies are arriving (see Arrivals) are not counted, nor those whose clients are
    still reading the answer.
    """

    def __init__(self) -> None:
        self.requests = 0

    def __enter__(self) -> None:
        self.requests += 1

    def __exit__(self, *_error: object) -> None:
        self.requests -= 1

    @contextmanager
    def outside(self) -> Iterator[None]:
        """Take no room while waiting for what is no work of the request's own."""
        self.requests -= 1
        try:
            yield
        finally:
            self.requests += 1


def out_of_time() -> Draining:
    """Make the refusal of a request that still runs when the time to drain is over."""
    return Draining(
        "the server is shutting down and its time to answer (SIZEWISE_DRAIN_MS) is over: send to "
        "another replica",
        retry_after_s=_DRAINING_RETRY_AFTER_S,
    )
