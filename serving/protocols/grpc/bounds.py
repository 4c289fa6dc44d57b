"""Bounds of gRPC's connections, of the time that a request may take to arrive, and of details."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import quote

import grpc
from google.protobuf.message import DecodeError

from serving.background import start
from serving.descriptors import most_grpc_connections
from serving.errors import InvalidField
from serving.protocols.cancellation import Cancellation
from serving.protocols.request_body import body_timeout, too_slow
from serving.runtime.service import Service
from serving.settings import Settings
from serving.shortening import cut

# A client's metadata, which hold the details of an error, may have 8 kB by default.
_MOST_DETAIL_BYTES = 4096
# gRPC does not tell how many connections it has, and gives none up for a new one. So one that is of
# no use ends soon: a silent one, whatever it has begun, after 10 or 20 s, and one without calls
# after 20 s. Its client connects anew at its next call, and loses none.
_HANDSHAKE_MS = 10_000
_SETTINGS_MS = 10_000
_PING_AFTER_MS = 10_000
_PING_WITHIN_MS = 10_000
_MOST_IDLE_S = 20
# A connection moves on after a while, so that one whose answers nobody reads ends too: after this
# time, the longest deadline, and this much more.
_MOST_AGE_S = 60
_LAST_CALL_MS = 5_000
# Calls beyond them that a client makes before it knows the limit are UNAVAILABLE.
_LEAST_STREAMS = 1000


def connection_bounds(settings: Settings) -> list[tuple[str, int]]:
    """Return the options of a gRPC server that bound its connections, in time and in number."""
    return [
        ("grpc.max_receive_message_length", settings.max_body_bytes),
        ("grpc.max_connection_idle_ms", min(settings.keep_alive_s, _MOST_IDLE_S) * 1000),
        ("grpc.max_connection_age_ms", min(settings.keep_alive_s, _MOST_AGE_S) * 1000),
        ("grpc.max_connection_age_grace_ms", settings.max_deadline_ms + _LAST_CALL_MS),
        ("grpc.max_concurrent_streams", max(_LEAST_STREAMS, settings.max_requests)),
        ("grpc.max_allowed_incoming_connections", most_grpc_connections()),
        ("grpc.keepalive_time_ms", _PING_AFTER_MS),
        ("grpc.keepalive_timeout_ms", _PING_WITHIN_MS),
        ("grpc.keepalive_permit_without_calls", 1),
        ("grpc.http2.max_pings_without_data", 0),  # no limit
        ("grpc.http2.settings_timeout", _SETTINGS_MS),
        ("grpc.server_handshake_timeout_ms", _HANDSHAKE_MS),
    ]


@contextmanager
def arriving(service: Service) -> Iterator[None]:
    """Take no room while what a call sends arrives, which must be in time.

    Raises BodyTimeout, and Overloaded when too many arrive.
    """
    settings = service.settings
    with Cancellation() as cancel:
        timer = asyncio.get_running_loop().call_later(
            settings.body_timeout_ms / 1e3, lambda: cancel(body_timeout(settings, 0))
        )
        try:
            # Whether a message has arrived is known once it is read.
            with service.arrivals.arriving(lambda: cancel(too_slow(settings)), perhaps=True):
                yield
        finally:
            timer.cancel()


async def received(service: Service, context: Any) -> bytes:
    """Read a call's one request. Raises what `arriving` raises, and InvalidField."""
    with arriving(service):
        sent: Any = await context.read()
    if sent is grpc.aio.EOF:
        raise _not_one_message()
    return bytes(sent)


def parsed(kind: Any, sent: bytes) -> Any:
    """Parse a message of this class. Raises InvalidField."""
    try:
        return kind.FromString(sent)
    except DecodeError as error:
        raise _not_one_message() from error


def _not_one_message() -> InvalidField:
    return InvalidField("send one message of the method's type", field="message")


def fitting(details: str) -> str:
    """Shorten an error's details to what a client receives; they are sent percent-encoded."""
    while len(quote(details)) > _MOST_DETAIL_BYTES:
        details = cut(details, len(details) // 2)
    return details


async def until_drained(server: Any, service: Service) -> None:
    """Drain when the service stops, or when this is cancelled, which is when it returns."""

    async def drain() -> None:
        await service.stopping.wait()
        await server.stop()

    # In a task of its own: cancelling stop() would cut off what it waits for.
    draining = start(drain(), "draining gRPC")
    try:
        await asyncio.Event().wait()
    finally:
        service.stopping.set()
        await draining
