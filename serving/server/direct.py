"""POST /v1/classify without ASGI, for requests that arrive whole: nearly all of the load.

FastAPI's and uvicorn's layers around a handler cost more than all that the handler does. The
endpoint in native.py answers every other request, with the same functions.
"""

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from serving.errors import InternalError, ServedError
from serving.logs import LOGGER
from serving.observability.request_log import CLIENT_LEFT, RequestLog, RequestRecord, request_id
from serving.protocols import native
from serving.protocols.dataplane import Client, admit, answer, response_headers
from serving.protocols.native import CLASSIFY_PATH
from serving.protocols.native_schemas import ClassifyRequest
from serving.protocols.problem import whole_response
from serving.protocols.request_body import body_too_large, check_head, parse_body
from serving.runtime.service import Service

Headers = Sequence[tuple[bytes, bytes]]


def serves(scope: Mapping[str, Any]) -> bool:
    """Whether a request is one that Direct answers."""
    path: str = scope["path"]
    return path == CLASSIFY_PATH and scope["method"] == "POST"


class Direct:
    """Answers classify requests with whole HTTP/1.1 responses, head and body."""

    def __init__(self, service: Service, request_log: RequestLog) -> None:
        self._service = service
        self._request_log = request_log

    def refusal(
        self, scope: Mapping[str, Any], usual_headers: Headers, *, closing: bool
    ) -> bytes | None:
        """Return the 429 or 401 to a request beyond the limit, or None if there is room.

        Most requests end here under overload, so no task is created and the body is not awaited.
        `closing` tells that the connection will close.
        """
        service = self._service
        if service.has_room:
            return None
        headers = dict(scope["headers"])
        record = RequestRecord(request_id(headers), time.monotonic(), is_inference=True)
        with service.in_flight:
            try:
                record.caller = service.callers.identify(headers).name
                service.check_room()
            except ServedError as error:
                record.error = error
                self._request_log.record(scope, headers, CLASSIFY_PATH, record, error.status)
                return whole_response(error, record.request_id, usual_headers, closing=closing)
        return None

    async def respond(
        self,
        scope: Mapping[str, Any],
        body: bytes,
        usual_headers: Headers,
        closing: Callable[[], bool],
    ) -> bytes:
        """Answer a request; cancel it when its client leaves.

        The response has the server's `usual_headers` besides its own; `closing` is asked when the
        response is made.
        """
        service = self._service
        headers = dict(scope["headers"])
        record = RequestRecord(request_id(headers), time.monotonic())
        status = 500
        limited: Client | None = None
        service.in_flight.requests += 1
        try:
            client = admit(service, record, headers)
            check_head(headers, service.settings)
            if len(body) > service.settings.max_body_bytes:
                raise body_too_large(service.settings, len(body))
            if client.caller.limits.any:
                await service.runtime.enter(client.caller)
                limited = client
            query = native.query_of(parse_body(ClassifyRequest, body))
            answered = await answer(service, record, client, query)
            status = 200
            content = native.body_of(answered)
            own = native.server_timing(answered)
            about = [*usual_headers, *response_headers(record)]
            return _whole(content, own, about, closing=closing())
        except ServedError as error:
            record.error, status = error, error.status
        except asyncio.CancelledError:
            status = CLIENT_LEFT
            raise
        except Exception as error:  # noqa: BLE001  the last resort is a 500
            LOGGER.error("bug", exc_info=error)
            record.error = InternalError("see the server's log for the request id")
        finally:
            if limited:
                service.runtime.leave(limited.caller)
            service.in_flight.requests -= 1
            self._request_log.record(scope, headers, CLASSIFY_PATH, record, status)
        return whole_response(record.error, record.request_id, usual_headers, closing=closing())


def _whole(content: bytes, server_timing: str, headers: Headers, *, closing: bool) -> bytes:
    parts = [
        b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n"
        b"server-timing: %b\r\n" % (len(content), server_timing.encode())
    ]
    for name, value in headers:
        parts.append(b"%b: %b\r\n" % (name, value))
    parts.append(b"connection: close\r\n\r\n" if closing else b"\r\n")
    parts.append(content)
    return b"".join(parts)
