"""The calls of a gRPC server that are not answered yet."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from serving.protocols.grpc.unread_answers import UnreadAnswers
from serving.runtime.service import Service


class Calls:
    """Those in progress, and what their clients have yet to read."""

    def __init__(self, service: Service) -> None:
        self.unread = UnreadAnswers()
        self._out_of_time = service.out_of_time
        self._running: set[asyncio.Task[Any]] = set()

    @contextmanager
    def running(self) -> Iterator[asyncio.Task[Any]]:
        """Count the current task, which it returns, as a call that the end of the drain cuts."""
        task = asyncio.current_task()
        assert task
        self._running.add(task)
        try:
            yield task
        finally:
            self._running.discard(task)

    def end_drain(self) -> None:
        """Cancel the calls that still run: the time to drain is over."""
        self._out_of_time.update(self._running)
        for task in self._running:
            task.cancel()


def metadata_of(context: Any) -> dict[bytes, bytes]:
    """Return a call's metadata as ASGI's headers."""
    return {
        name.encode(): value.encode() if isinstance(value, str) else value
        for name, value in context.invocation_metadata() or ()
    }
