"""The ASGI application: lifespan, error handlers, one record per request."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.routing import APIRoute
from fastapi_offline import FastAPIOffline
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.types import Message, Receive, Scope, Send

from serving.background import keep_running, unending
from serving.errors import InternalError, MethodNotAllowed, PathNotFound, ServedError
from serving.logs import LOGGER, log
from serving.observability.recorder import CLIENT_LEFT
from serving.observability.request_log import RequestLog, RequestRecord, request_id
from serving.observability.tracing import open_tracer
from serving.protocols import (
    cohere_jina,
    feedback,
    huggingface,
    infinity_vllm,
    kserve_v1,
    moderations,
    native,
    tei,
)
from serving.protocols.dataplane import Api, response_headers
from serving.protocols.open_inference import http as open_inference
from serving.protocols.openapi import describe, serve_document
from serving.protocols.problem import error_headers
from serving.runtime.in_flight import out_of_time
from serving.runtime.service import Service
from serving.server.direct import Direct
from serving.server.garbage import set_loaded_aside
from serving.server.playground import serve_playground

VERSION = "0.1.0"
APIS = (
    native.API,
    feedback.API,
    open_inference.API,
    tei.API,
    huggingface.API,
    infinity_vllm.API,
    moderations.API,
    cohere_jina.API,
    kserve_v1.API,
)
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
    until_current: Callable[[], Awaitable[None]] | None = None,
) -> "App":
    """Create the application; the coroutines of `beside` run during its lifespan.

    Models load in the background; `on_loaded` is called with None once they are served, and with
    the exception if loading or a background task fails. The server accepts nothing before
    `until_current` has returned.
    Raises StartError if tracing is configured and cannot be set up.
    """
    recorder, settings, answers = service.runtime.recorder, service.settings, service.answers
    request_log = RequestLog(recorder, open_tracer(settings), answers)

    def ready() -> None:
        set_loaded_aside()
        log("ready", models=sorted(service.families))
        on_loaded(None)

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        callers = keep_running(service.callers.watch, "reading the callers' file")
        tasks: list[asyncio.Task[None]] = []

        def start(*work: Coroutine[Any, Any, None]) -> None:
            tasks.extend(asyncio.create_task(_report_failure(each, on_loaded)) for each in work)

        start(service.follow(ready), callers)
        if until_current:
            await until_current()
        start(*(unending(each(), "a background task") for each in beside))
        yield
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks)
        service.close()
        await request_log.close()

    rest = FastAPIOffline(
        title="Sizewise",
        version=VERSION,
        description="Text classification by the variant of the right size.",
        redoc_url=None,
        redirect_slashes=False,
        lifespan=lifespan,
        exception_handlers=_HANDLERS,
    )
    for api in APIS:
        rest.include_router(api.router)
    describe(rest)
    serve_document(rest)
    if settings.playground:
        serve_playground(rest)
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

    `direct` answers most requests before they get here (see InferenceProtocol).
    """

    def __init__(self, rest: FastAPI, service: Service, request_log: RequestLog) -> None:
        self.service = service
        self.request_log = request_log
        self.direct = Direct(service, request_log)
        self._rest = rest

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See the ASGI specification, version 3."""
        if scope["type"] != "http":
            await self._rest(scope, receive, send)
            return
        headers = dict(scope["headers"])
        record = RequestRecord(request_id(headers), time.monotonic())
        scope.setdefault("state", {}).update(record=record, service=self.service)
        # HEAD is answered as GET; the connection leaves the content out.
        routed = {**scope, "method": "GET"} if scope["method"] == "HEAD" else scope
        if scope["query_string"]:
            # No endpoint has a query, and FastAPI would take 30 ms to split one of 64 kB.
            routed = {**routed, "query_string": b""}
        status, started = 500, False

        async def send_recorded(message: Message) -> None:
            nonlocal status, started
            if message["type"] == "http.response.start":
                started = True
                status = message["status"]
                message["headers"] += response_headers(record)
                if self.service.draining:
                    message["headers"].append((b"connection", b"close"))
            with self.service.in_flight.outside():  # a client that does not read takes no room
                await send(message)

        with self.service.in_flight:
            try:
                await self._rest(routed, receive, send_recorded)
            except asyncio.CancelledError:
                if started or asyncio.current_task() not in self.service.out_of_time:
                    raise
                response = await _served_error(Request(routed), out_of_time())
                await response(routed, receive, send_recorded)
            finally:
                path = _endpoint(routed)[0]
                self.request_log.record(scope, headers, path, record, status)


async def _served_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, ServedError)
    record: RequestRecord = request.state.record
    record.refuse(error)
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


_HANDLERS: dict[int | type[Exception], Callable[[Request, Any], Awaitable[Response]]] = {
    ServedError: _served_error,
    HTTPException: _http_exception,
    ClientDisconnect: _client_left,
    Exception: _bug,
}
