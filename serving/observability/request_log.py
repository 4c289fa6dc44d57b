"""The record of one request: counted, logged and traced once, when the request ends."""

import asyncio
import random
import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

from serving.background import short_work
from serving.errors import ServedError
from serving.feedback.recorder import AnswerRecorder
from serving.inference.inputs import Row, Text
from serving.logs import LOGGER, json_line, write_lines
from serving.observability.metrics import REJECTIONS
from serving.observability.recorder import Recorder
from serving.variants.answers import FamilyAnswer

# kubelet and load balancers ask for these every few seconds.
_PROBES = frozenset(
    {"/health", "/health/live", "/health/ready", "/ping", "/v2/health/live", "/v2/health/ready"}
    | {f"/inference.GRPCInferenceService/Server{what}" for what in ("Live", "Ready")}
    | {"/grpc.health.v1.Health/Check"}
)
REQUEST_ID = re.compile(r"[A-Za-z0-9_.:-]{1,128}")


def request_id(headers: Mapping[bytes, bytes]) -> str:
    """Take a valid X-Request-Id from ASGI's `headers`, or else make an id of 32 hex digits."""
    if sent := headers.get(b"x-request-id"):
        given = sent.decode("latin-1")
        if REQUEST_ID.fullmatch(given):
            return given
    return random.getrandbits(128).to_bytes(16, "big").hex()


@dataclass(slots=True)
class RequestRecord:
    """What one request was, filled in along its way and recorded once by RequestLog.

    `is_inference` is set for requests to a model, whose refusals are counted. `consented` are the
    texts that were `answered`, if they may be kept; see RequestLog.note. `outcome` is what became
    of a request that was checked for a proxy.
    """

    request_id: str
    started_s: float
    is_inference: bool = False
    caller: str = ""
    model: str = ""
    variant: str = ""
    texts: int = 0
    tokens: int = 0
    degraded: bool = False
    answered: FamilyAnswer | None = None
    consented: Sequence[Text | Row] | None = None
    noted: bool = False
    code: str | None = None
    reason: str = ""
    outcome: str = ""

    def refuse(self, error: ServedError) -> int:
        """Note why the request is refused; return the status to send.

        The error is not kept: through its traceback it refers to whatever refers to this record.
        """
        self.code = error.code
        self.reason = error.reason or error.code
        return error.status

    def seconds(self) -> float:
        """Return the seconds since the request began."""
        return time.monotonic() - self.started_s


class Exchange(NamedTuple):
    """The HTTP side of a request, for its span; `endpoint` is the route, or ""."""

    method: str
    endpoint: str
    path: str
    status: int
    seconds: float


class TraceIds(NamedTuple):
    """The trace and span of a request, in hex as in W3C Trace Context."""

    trace_id: str
    span_id: str


class Tracing(Protocol):
    """Makes a span of each request; see tracing.py."""

    @property
    def exports(self) -> bool:
        """Whether spans are exported; otherwise only a caller's own ids are of use."""

    def record(
        self, headers: Mapping[bytes, bytes], record: RequestRecord, exchange: Exchange
    ) -> TraceIds | None:
        """Make the span and return its ids for the log line, if any."""

    def close(self) -> None:
        """Send the remaining spans."""


class RequestLog:
    """Counts, logs and traces each request once, whatever its protocol. Lives on one event loop."""

    def __init__(
        self, recorder: Recorder, tracing: Tracing, answers: AnswerRecorder | None = None
    ) -> None:
        self._recorder = recorder
        self._answers = answers
        self._tracing = tracing
        self._lines: list[str] = []
        """Written together, once an iteration of the loop."""

    def record(
        self,
        scope: Mapping[str, Any],
        headers: Mapping[bytes, bytes],
        endpoint: str,
        record: RequestRecord,
        status: int,
    ) -> None:
        """Record a request that has ended; only method and path of `scope` are read."""
        seconds = time.monotonic() - record.started_s
        reason = record.reason
        inference = record if record.is_inference else None
        self._recorder.record_request(
            endpoint, record.model, status, seconds, reason, inference=inference
        )
        if inference and reason in REJECTIONS:
            self._recorder.record_rejected(reason)
        method, path = scope["method"], scope["path"]
        ids = None
        if self._tracing.exports or b"traceparent" in headers:
            exchange = Exchange(method, endpoint, path, status, seconds)
            ids = self._tracing.record(headers, record, exchange)
        level = "info"
        if endpoint in _PROBES:
            if status < 400:
                return
            level = "warning"
        fields: dict[str, object] = {
            "request_id": record.request_id,
            "method": method,
            "path": path,
            "status": status,
            "code": record.code,
            "ms": int(seconds * 1e6 + 0.5) / 1e3,  # round() to places costs twice as much
            "caller": record.caller,
            "model": record.model,
            "variant": record.variant,
            "texts": record.texts,
            "tokens": record.tokens,
            "degraded": record.degraded,
        }
        if record.outcome:
            fields |= {"outcome": record.outcome, "reason": record.reason}
        if ids:
            fields |= ids._asdict()
        if not self._lines:
            asyncio.get_running_loop().call_soon(self._write)
        self._lines.append(json_line(time.time(), level, LOGGER.name, "request", fields))
        self.note(record)
        # An idle connection keeps its last record.
        record.answered = record.consented = None

    def note(self, record: RequestRecord) -> None:
        """Count an answer and have it remembered, once: at the latest when its request ends.

        Where the client has the answer before that, it is noted first, for feedback comes at once.
        """
        answered = record.answered
        if answered and not record.noted:
            record.noted = True
            self._recorder.record_answer(answered)
            if self._answers:
                self._answers.note(record.caller, record.request_id, answered, record.consented)

    def _write(self) -> None:
        lines, self._lines = self._lines, []
        if lines:
            write_lines(lines)

    async def close(self) -> None:
        """Write the remaining lines and send the remaining spans."""
        self._write()
        await short_work(self._tracing.close)
