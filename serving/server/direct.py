"""POST /v1/classify without ASGI, for requests that arrive whole: nearly all of the load.

FastAPI's and uvicorn's layers around a handler cost more than all that the handler does. The
endpoint in native.py answers every other request, with the same functions.
"""

import asyncio
import time
from collections.abc import Callable, Mapping
from typing import Any

from serving.errors import InternalError, ServedError
from serving.logs import LOGGER
from serving.observability.recorder import CLIENT_LEFT
from serving.observability.request_log import RequestLog, RequestRecord, request_id
from serving.protocols import native
from serving.protocols.dataplane import Client, admit, answer, read
from serving.protocols.large_answer import TURN_SCORES
from serving.protocols.large_body import INLINE_BYTES
from serving.protocols.native import CLASSIFY_PATH
from serving.protocols.native_schemas import ClassifyRequest
from serving.protocols.problem import problem_response
from serving.protocols.request_body import body_too_large, check_head, parse_body
from serving.runtime.in_flight import out_of_time
from serving.runtime.service import Service

Response = tuple[bytes, bytes]
"""The head without the empty line at its end, and the content."""


class Direct:
    """Answers classify requests with whole HTTP/1.1 responses."""

    def __init__(self, service: Service, request_log: RequestLog) -> None:
        self._service = service
        self._request_log = request_log

    def refusal(self, scope: Mapping[str, Any]) -> Response:
        """Return the 429, or 401, to a request that there is no room for.

        Most requests end here under overload, so no task is created and the body is not awaited.
        """
        service = self._service
        headers = dict(scope["headers"])
        record = RequestRecord(request_id(headers), time.monotonic(), is_inference=True)
        with service.in_flight:
            try:
                record.caller = service.callers.identify(headers).name
                service.check_room()
            except ServedError as error:
                status = record.refuse(error)
                self._request_log.record(scope, headers, CLASSIFY_PATH, record, status)
                return problem_response(error, record.request_id)
        raise AssertionError("there is room: this is a bug")

    async def respond(
        self, scope: Mapping[str, Any], body: bytes, send: Callable[[Response], None]
    ) -> None:
        """Answer a request; cancel it when its client leaves, or when the drain's time is over.

        The client does not wait until it is counted and logged; whoever asks afterwards sees both.
        """
        headers = dict(scope["headers"])
        record = RequestRecord(request_id(headers), time.monotonic())
        status = 500
        try:
            status, response = await self._response(headers, body, record)
            send(response)
        except asyncio.CancelledError:
            status = CLIENT_LEFT
            raise
        finally:
            self._request_log.record(scope, headers, CLASSIFY_PATH, record, status)

    async def _response(
        self, headers: Mapping[bytes, bytes], body: bytes, record: RequestRecord
    ) -> tuple[int, Response]:
        service = self._service
        limited: Client | None = None
        service.in_flight.requests += 1
        try:
            client = admit(service, record, headers)
            if client.limited:
                if entering := service.runtime.enter(client.caller):
                    await entering
                limited = client
            check_head(headers, service.settings)
            size = len(body)
            if size > service.settings.max_body_bytes:
                raise body_too_large(service.settings, size)
            query = (
                native.query_of(parse_body(ClassifyRequest, body))
                if size <= INLINE_BYTES
                else await read(service, body, ClassifyRequest, native.query_of)
            )
            answered = await answer(service, record, client, query)
            if len(answered.answers) * len(answered.labels) > TURN_SCORES:
                content = await native.content_in_turns(answered)
                return 200, native.whole_response(record, answered, content)
            return 200, native.whole_response(record, answered)
        except ServedError as error:
            return record.refuse(error), problem_response(error, record.request_id)
        except asyncio.CancelledError:
            if asyncio.current_task() not in service.out_of_time:
                raise
            late = out_of_time()
            return record.refuse(late), problem_response(late, record.request_id)
        except Exception as error:  # noqa: BLE001  the last resort is a 500
            LOGGER.error("bug", exc_info=error)
            bug = InternalError("see the server's log for the request id")
            return record.refuse(bug), problem_response(bug, record.request_id)
        finally:
            if limited:
                service.runtime.leave(limited.caller)
            service.in_flight.requests -= 1
