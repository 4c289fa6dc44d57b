"""Traces: each request as OpenTelemetry spans, made from its measured times when it has ended.

The OpenTelemetry SDK is imported only if traces are exported.
"""

import os
import re
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from threading import Thread

from serving.extras import optional_packages
from serving.observability.request_log import Exchange, RequestRecord, TraceIds
from serving.settings import Settings

_SERVICE = "sizewise"
_PATH = "/v1/traces"
_FLUSH_S = 3.0
_VERSION, _NO_TRACE, _NO_SPAN = "00", "0" * 32, "0" * 16
_TRACEPARENT = re.compile(r"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?")


def parse_traceparent(value: str) -> TraceIds | None:
    """Parse a traceparent header (W3C Trace Context 1, section 3.2); None if it is invalid."""
    found = _TRACEPARENT.fullmatch(value)
    if not found:
        return None
    version, trace_id, span_id, _, more = found.groups()
    if version == "ff" or (version == _VERSION and more):
        return None
    if trace_id == _NO_TRACE or span_id == _NO_SPAN:
        return None
    return TraceIds(trace_id, span_id)


class Untraced:
    """Exports nothing; a caller's trace still appears in the log."""

    exports = False

    def record(
        self, headers: Mapping[bytes, bytes], _record: RequestRecord, _exchange: Exchange
    ) -> TraceIds | None:
        """Return the caller's ids, if it sent any."""
        given = headers.get(b"traceparent")
        return parse_traceparent(given.decode("latin-1")) if given else None

    def close(self) -> None:
        """Do nothing."""


class Tracer(Untraced):
    """Exports spans to an OTLP collector, in batches and from a thread of its own.

    Spans that the collector does not accept in time are dropped. Sampling, resource attributes and
    headers are set by OpenTelemetry's own OTEL_* variables.
    """

    exports = True

    def __init__(self, endpoint: str) -> None:
        """`endpoint` is the collector's base URL. Raises StartError without the tracing extra."""
        with optional_packages("SIZEWISE_TRACE_ENDPOINT"):
            from opentelemetry import trace  # noqa: PLC0415  costs 60 ms and 10 MB
            from opentelemetry.exporter.otlp.proto.http.trace_exporter import (  # noqa: PLC0415
                OTLPSpanExporter,
            )
            from opentelemetry.sdk.trace import TracerProvider  # noqa: PLC0415
            from opentelemetry.sdk.trace.export import BatchSpanProcessor  # noqa: PLC0415
            from opentelemetry.trace.propagation import tracecontext  # noqa: PLC0415
        self._trace = trace
        self._context = tracecontext.TraceContextTextMapPropagator()
        os.environ.setdefault("OTEL_SERVICE_NAME", _SERVICE)
        self._provider = TracerProvider(shutdown_on_exit=False)
        exporter = OTLPSpanExporter(endpoint=endpoint.rstrip("/") + _PATH)
        self._provider.add_span_processor(BatchSpanProcessor(exporter))
        self._tracer = self._provider.get_tracer(_SERVICE)

    def record(
        self, headers: Mapping[bytes, bytes], record: RequestRecord, exchange: Exchange
    ) -> TraceIds | None:
        """Export the span of a request that ends now, and return its ids."""
        end_ns = time.time_ns()
        begin_ns = end_ns - _ns(exchange.seconds)
        carrier = {
            name: headers[name.encode()].decode("latin-1")
            for name in ("traceparent", "tracestate")
            if name.encode() in headers
        }
        span = self._tracer.start_span(
            f"{exchange.method} {exchange.endpoint}".rstrip(),
            context=self._context.extract(carrier),
            kind=self._trace.SpanKind.SERVER,
            start_time=begin_ns,
            attributes=_attributes(record, exchange),
        )
        if span.is_recording():
            inside = self._trace.set_span_in_context(span)
            for stage, from_s, seconds in _stages(record):
                at_ns = begin_ns + _ns(from_s)
                child = self._tracer.start_span(stage, context=inside, start_time=at_ns)
                child.end(at_ns + _ns(seconds))
            if exchange.status >= 500:
                span.set_status(self._trace.StatusCode.ERROR)
            span.end(end_ns)
        ids = span.get_span_context()
        return TraceIds(f"{ids.trace_id:032x}", f"{ids.span_id:016x}")

    def close(self) -> None:
        """Export the remaining spans, for at most three seconds."""
        flush = Thread(target=self._provider.shutdown, name="trace-flush", daemon=True)
        with suppress(RuntimeError):  # the machine has no thread left
            flush.start()
            flush.join(_FLUSH_S)


def open_tracer(settings: Settings) -> Untraced:
    """Make the tracer that the settings configure. Raises StartError."""
    return Tracer(settings.trace_endpoint) if settings.trace_endpoint else Untraced()


def _ns(seconds: float) -> int:
    return round(seconds * 1e9)


def _stages(record: RequestRecord) -> Iterator[tuple[str, float, float]]:
    """Yield an answered request's stages: name, seconds from its beginning, and how many."""
    if answered := record.answered:
        from_s = answered.passes[0].started_s - record.started_s
        for stage, seconds in (
            ("tokenize", answered.tokenize_s),
            ("queue", answered.slowest.queue_s),
            ("engine", answered.slowest.engine_s),
        ):
            yield stage, from_s, seconds
            from_s += seconds


def _attributes(record: RequestRecord, exchange: Exchange) -> dict[str, str | int]:
    """Attributes by OpenTelemetry's semantic conventions for HTTP servers, and Sizewise's own."""
    attributes: dict[str, str | int] = {
        "http.request.method": exchange.method,
        "url.path": exchange.path,
        "http.response.status_code": exchange.status,
        "sizewise.request_id": record.request_id,
    }
    if exchange.endpoint:
        attributes["http.route"] = exchange.endpoint
    if record.code:
        attributes["error.type"] = record.code
    if record.outcome:
        attributes["sizewise.outcome"] = record.outcome
    if record.model:
        attributes |= {
            "sizewise.model": record.model,
            "sizewise.variant": record.variant,
            "sizewise.texts": record.texts,
            "sizewise.tokens": record.tokens,
        }
    return attributes
