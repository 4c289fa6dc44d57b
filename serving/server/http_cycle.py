"""What HTTP/1.1 wants of a request's head, and what a response's head says of the connection."""

import asyncio
import re
from collections.abc import Iterable
from functools import lru_cache

from uvicorn._types import ASGISendEvent
from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

from serving.errors import MalformedRequest, ServedError
from serving.observability.request_log import request_id
from serving.protocols.problem import problem_response

Headers = Iterable[tuple[bytes, bytes]]
_CLOSE = (b"connection", b"close")
# RFC 9110 section 7.2: uri-host [ ":" port ], which may be empty.
_HOST = re.compile(rb"(?:\[[\w.:%~-]+\]|[\w.~!$&'()*+,;=%-]*)(?::\d*)?", re.ASCII)


class BadHeadError(Exception):
    """A request's head contradicts HTTP/1.1 where the parser does not look."""


@lru_cache(16)
def is_host(value: bytes) -> bool:
    """Whether a header's value is a host with an optional port."""
    return _HOST.fullmatch(value.rstrip()) is not None


def refusal(said: str, default_headers: Headers) -> bytes:
    """Make the response to malformed HTTP, after which the connection is closed."""
    error = MalformedRequest(f"{said} Send HTTP/1.1.", field="request line or headers")
    return last_response(error, default_headers)


def last_response(error: ServedError, default_headers: Headers) -> bytes:
    """Make a response to no request in particular, after which the connection is closed."""
    head, content = problem_response(error, request_id({}))
    for name, value in default_headers:
        head += b"%b: %b\r\n" % (name, value)
    return head + b"connection: close\r\n\r\n" + content


def without_offer(request_line: bytes, headers: Headers) -> bytes:
    """Make a head that does not offer to upgrade to another protocol."""
    fields = [b"%b: %b" % each for each in headers if each[0] != b"upgrade"]
    return b"\r\n".join([request_line, *fields, b"", b""])


class NoEvent(asyncio.Event):
    """In place of the event of a request that has not begun: nothing waits for it.

    Most requests are answered without ASGI, which alone does; an event costs them a microsecond.
    """

    def set(self) -> None:
        """Do nothing."""


NO_EVENT = NoEvent()


class Cycle(RequestResponseCycle):
    """A request that goes through ASGI, and its response."""

    kept: tuple[tuple[bytes, bytes], ...] = ()
    """The headers of a response after which the connection is kept."""

    async def send(self, message: ASGISendEvent) -> None:
        """Send a part of the response, with what it says of the connection."""
        if self.transport.is_closing():
            self.disconnected = True
        if message["type"] == "http.response.start":
            headers = list(message["headers"])
            if self.waiting_for_100_continue and self.more_body:
                # The client need not send its body now, and what it sends next may be another head.
                self.keep_alive = False
            elif self.keep_alive and _CLOSE not in headers:
                message["headers"] = [*headers, *self.kept]
        await super().send(message)
