"""The ASGI application: lifespan, error handlers, one record per request."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.routing import APIRoute
from fastapi_offline import FastAPIOffline
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.types import Message, Receive, Scope, Send

from serving.errors import InternalError, MethodNotAllowed, PathNotFound, ServedError
from serving.logs import LOGGER, log
from serving.observability.request_log import (
    CLIENT_LEFT,
    RequestLog,
    RequestRecord,
    request_id,
)
from serving.observability.tracing import open_tracer
from serving.protocols import huggingface, infinity_vllm, native, tei
from serving.protocols.dataplane import Api
from serving.protocols.native import CLASSIFY_PATH, answer_classify
from serving.protocols.open_inference import http as open_inference
from serving.protocols.problem import error_headers, whole_response
from serving.runtime.service import Service

VERSION = "0.1.0"
APIS = (native.API, open_inference.API, tei.API, huggingface.API, infinity_vllm.API)
_ENDPOINTS: dict[object, tuple[str, Api]] = {
    route.endpoint: (route.path, api)
    for api in APIS
    for route in api.router.routes
    if isinstance(route, APIRoute)
}


def create_app(
    service: Service,
    on_loaded: Callable[[BaseException | None], None],
    beside: Sequence[Callable[[], Coroutine[Any, Any, None]]] = (),
) -> "App":
    """Create the application; the coroutines of `beside` run during its lifespan.

    Models load in the background; `on_loaded` is called with None once they are served, and with
    the exception if loading or a background task fails.
    Raises StartError if tracing is configured and cannot be set up.
    """
    request_log = RequestLog(service.runtime.recorder, open_tracer(service.settings))

    def ready() -> None:
        log("ready", models=sorted(service.families))
        on_loaded(None)

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        work = [service.follow(ready), service.callers.watch(), *(each() for each in beside)]
        tasks = [asyncio.create_task(_report_failure(each, on_loaded)) for each in work]
        yield
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks)
        service.close()
        await asyncio.to_thread(request_log.close)

    rest = FastAPIOffline(
        title="Sizewise",
        version=VERSION,
        description="Text classification by the variant of the right size.",
        redoc_url=None,
        redirect_slashes=False,
        lifespan=lifespan,
        exception_handlers={
            ServedError: _served_error,
            HTTPException: _http_exception,
            ClientDisconnect: _client_left,
            Exception: _bug,
        },
    )
    for api in APIS:
        rest.include_router(api.router)
    return App(rest, service, request_log)


async def _report_failure(
    work: Coroutine[Any, Any, None], on_failed: Callable[[BaseException | None], None]
) -> None:
    try:
        with suppress(asyncio.CancelledError):
            await work
    except Exception as error:  # noqa: BLE001  any failure must stop the server and be reported
        on_failed(error)


class App:
    """The ASGI application: gives each request an id, a record, metrics and a log line.

    It answers POST /v1/classify itself, since FastAPI's layers around a handler cost a quarter of a
    small request; FastAPI answers everything else, documents this endpoint and refuses other
    methods.
    """

    def __init__(self, rest: FastAPI, service: Service, request_log: RequestLog) -> None:
        self.service = service
        self.request_log = request_log
        self._rest = rest

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See the ASGI specification, version 3."""
        if scope["type"] != "http":
            await self._rest(scope, receive, send)
            return
        record = RequestRecord(request_id(dict(scope["headers"])), time.monotonic())
        scope.setdefault("state", {}).update(record=record, service=self.service)
        status = 500

        async def send_recorded(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] += _about(record)
                if self.service.draining:
                    message["headers"].append((b"connection", b"close"))
            await send(message)

        classifies = _classifies(scope)
        with self.service.in_flight:
            try:
                if classifies:
                    await _classify(scope, receive, send_recorded)
                else:
                    await self._rest(scope, receive, send_recorded)
            finally:
                path = CLASSIFY_PATH if classifies else _endpoint(scope)[0]
                self.request_log.record(scope, path, record, status)

    def refusal(self, scope: Scope, *, closing: bool) -> bytes | None:
        """Return the whole 429 or 401 response to a classify request beyond the limit, else None.

        Most requests end here under overload, so no task is created, the body is not awaited and
        the response is bytes. `closing` tells that the connection will close.
        """
        if self.service.has_room or not _classifies(scope):
            return None
        headers = dict(scope["headers"])
        record = RequestRecord(request_id(headers), time.monotonic(), is_inference=True)
        with self.service.in_flight:
            try:
                record.caller = self.service.callers.identify(headers).name
                self.service.check_room()
            except ServedError as error:
                record.error = error
                self.request_log.record(scope, CLASSIFY_PATH, record, error.status)
                return whole_response(error, record.request_id, closing=closing)
        return None


def _about(record: RequestRecord) -> list[tuple[bytes, bytes]]:
    """Response headers of every protocol: the request id, the variant, and whether it degraded."""
    headers = [(b"x-request-id", record.request_id.encode())]
    if record.variant:
        headers.append((b"x-sizewise-variant", record.variant.encode()))
    if record.degraded:
        headers.append((b"x-sizewise-degraded", b"true"))
    return headers


def _classifies(scope: Scope) -> bool:
    path: str = scope["path"]
    return path == CLASSIFY_PATH and scope["method"] == "POST"


async def _classify(scope: Scope, receive: Receive, send: Send) -> None:
    try:
        response = await answer_classify(scope, receive)
    except ServedError as error:
        response = await _served_error(Request(scope), error)
    except ClientDisconnect as error:
        response = await _client_left(Request(scope), error)
    except Exception as error:  # noqa: BLE001  the last resort is a 500
        response = await _bug(Request(scope), error)
    await response(scope, receive, send)


async def _served_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, ServedError)
    record: RequestRecord = request.state.record
    record.error = error
    _, api = _endpoint(request.scope)
    status, body, media_type = api.refusal(error, record.request_id)
    return Response(body, status_code=status, media_type=media_type, headers=error_headers(error))


def _endpoint(scope: Scope) -> tuple[str, Api]:
    """Return the matched path and its protocol; "" and the native protocol if none matched."""
    return _ENDPOINTS.get(scope.get("endpoint"), ("", native.API))


async def _http_exception(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    path = request.url.path
    if error.status_code == 405:
        allowed = (error.headers or {}).get("Allow", "")
        response = await _served_error(
            request,
            MethodNotAllowed(
                f"{path} takes {allowed}", field="method", limit=allowed, value=request.method
            ),
        )
        response.headers["Allow"] = allowed
        return response
    return await _served_error(
        request, PathNotFound("see /docs for the endpoints", field="path", value=path[:100])
    )


async def _client_left(_request: Request, _error: Exception) -> Response:
    return Response(status_code=CLIENT_LEFT)


async def _bug(request: Request, error: Exception) -> Response:
    LOGGER.error("bug", exc_info=error)
    return await _served_error(request, InternalError("see the server's log for the request id"))
