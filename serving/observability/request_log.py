"""The record of one request: counted, logged and traced once, when the request is over."""

import random
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

from serving.errors import ServedError
from serving.logs import log
from serving.observability.metrics import REJECTIONS
from serving.observability.recorder import Recorder

_REQUEST_ID = re.compile(r"[\w.:-]{1,128}", re.ASCII)


CLIENT_LEFT = 499


def request_id(headers: Mapping[bytes, bytes]) -> str:
    """The caller's own, if it may be one, else a new one; `headers` are ASGI's."""
    given = headers.get(b"x-request-id", b"").decode("latin-1")
    return given if _REQUEST_ID.fullmatch(given) else f"{random.getrandbits(128):032x}"


@dataclass(slots=True)
class RequestRecord:
    """What one request was, filled in on its way and recorded once by RequestLog.

    `asks` says that it is a question to a model, whose refusal counts as one. The stages began at
    `asked_s` and followed one another: each has a name and its seconds.
    """

    request_id: str
    started_s: float
    asks: bool = False
    caller: str = ""
    model: str = ""
    variant: str = ""
    texts: int = 0
    tokens: int = 0
    degraded: bool = False
    asked_s: float = 0.0
    stages: tuple[tuple[str, float], ...] = ()
    error: ServedError | None = None

    def seconds(self) -> float:
        """Since it began."""
        return time.monotonic() - self.started_s


class Exchange(NamedTuple):
    """What a span says of the HTTP request; `endpoint` is the route, "" for none."""

    method: str
    endpoint: str
    path: str
    status: int
    seconds: float


class TraceIds(NamedTuple):
    """Where a request belongs: hex, as W3C Trace Context has them."""

    trace_id: str
    span_id: str


class Tracing(Protocol):
    """Makes a span of each request: see tracing.py."""

    def record(
        self, headers: Mapping[bytes, bytes], record: RequestRecord, exchange: Exchange
    ) -> TraceIds | None:
        """The ids for the log line, if there are any."""

    def close(self) -> None:
        """Send what is left."""


class RequestLog:
    """Counts, logs and traces each request once, whatever protocol it came by."""

    def __init__(self, recorder: Recorder, tracing: Tracing) -> None:
        self._recorder = recorder
        self._tracing = tracing

    def record(
        self, scope: Mapping[str, Any], endpoint: str, record: RequestRecord, status: int
    ) -> None:
        """Record a request that is over; of `scope` only method, path and headers are read."""
        seconds = record.seconds()
        self._recorder.record_request(endpoint, record.model, status, seconds)
        code = record.error.code if record.error else None
        if code in REJECTIONS and record.asks:
            self._recorder.record_rejected(code)
        exchange = Exchange(scope["method"], endpoint, scope["path"], status, seconds)
        ids = self._tracing.record(dict(scope["headers"]), record, exchange)
        log(
            "request",
            request_id=record.request_id,
            method=scope["method"],
            path=scope["path"],
            status=status,
            code=code,
            ms=round(seconds * 1e3, 3),
            caller=record.caller,
            model=record.model,
            variant=record.variant,
            texts=record.texts,
            tokens=record.tokens,
            degraded=record.degraded,
            **(ids._asdict() if ids else {}),
        )

    def close(self) -> None:
        """Send the spans that are left."""
        self._tracing.close()
