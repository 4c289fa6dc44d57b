"""create_app(settings): builds the parts, starts and stops them, and records every request once.

It does not know how a text is classified.
"""

import asyncio
import random
import re
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from fastapi import FastAPI, Request, Response
from fastapi.routing import APIRoute
from fastapi_offline import FastAPIOffline
from pydantic_core import to_json
from starlette.datastructures import MutableHeaders
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from serving.errors import (
    InternalError,
    MethodNotAllowed,
    PathNotFound,
    ServedError,
)
from serving.logs import LOGGER, log
from serving.metrics import REJECTIONS, Metrics
from serving.ort_engine import OrtEngine
from serving.routes import CLASSIFY_PATH, PROBLEM_TYPE, RequestRecord, classify, router
from serving.schemas import Problem
from serving.service import MakeEngine, Service
from serving.settings import Settings

VERSION = "0.1.0"
_REQUEST_ID = re.compile(r"[\w.:-]{1,128}", re.ASCII)
_CLIENT_LEFT = 499
_PATHS: dict[object, str] = {
    route.endpoint: route.path for route in router.routes if isinstance(route, APIRoute)
}


def create_app(
    settings: Settings,
    *,
    make_engine: MakeEngine = OrtEngine,
    on_loaded: Callable[[BaseException | None], None],
) -> FastAPI:
    """The whole server as an ASGI application.

    Models load in the background from its start on; `on_loaded` hears how that ended.
    Raises BundleError when the registry cannot be read.
    """
    service = Service(settings, Metrics(), make_engine)

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        loading = asyncio.create_task(_load(service, on_loaded))
        yield
        loading.cancel()
        service.close()

    app = FastAPIOffline(
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
    app.state.service = service
    # This route answers; FastAPI's twin of it documents. FastAPI's own machinery around a
    # handler costs a quarter of a small request (ARCHITECTURE.md, decisions).
    app.router.routes.insert(0, Route(CLASSIFY_PATH, classify, methods=["POST"]))
    app.include_router(router)
    app.add_middleware(RequestRecorder, service=service)
    return app


async def _load(service: Service, on_loaded: Callable[[BaseException | None], None]) -> None:
    try:
        await service.load()
    except Exception as error:  # noqa: BLE001  whatever it is, the server must stop and say it
        on_loaded(error)
    else:
        log("ready", models=sorted(service.families))
        on_loaded(None)


class RequestRecorder:
    """Pure ASGI middleware: gives each request its id, its record, its metrics and its log line."""

    def __init__(self, app: ASGIApp, service: Service) -> None:
        self._app = app
        self._service = service

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See the ASGI specification, version 3."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        given = dict(scope["headers"]).get(b"x-request-id", b"").decode("latin-1")
        request_id = given if _REQUEST_ID.fullmatch(given) else f"{random.getrandbits(128):032x}"
        record = RequestRecord(request_id, time.monotonic())
        scope.setdefault("state", {})["record"] = record
        status = 500

        async def send_recorded(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = MutableHeaders(scope=message)
                headers["X-Request-Id"] = request_id
                if self._service.draining:
                    headers["Connection"] = "close"
            await send(message)

        self._service.requests += 1
        try:
            await self._app(scope, receive, send_recorded)
        finally:
            self._service.requests -= 1
            self._record(scope, record, status)

    def _record(self, scope: Scope, record: RequestRecord, status: int) -> None:
        seconds = time.monotonic() - record.started_s
        endpoint = _PATHS.get(scope.get("endpoint"), "")
        metrics = self._service.metrics
        metrics.record_request(endpoint, record.model, status, seconds)
        code = record.error.code if record.error else None
        if code in REJECTIONS and endpoint.startswith("/v1/"):
            metrics.rejected.labels(code).inc()
        log(
            "request",
            request_id=record.request_id,
            method=scope["method"],
            path=scope["path"],
            status=status,
            code=code,
            ms=round(seconds * 1e3, 3),
            model=record.model,
            variant=record.variant,
            texts=record.texts,
            tokens=record.tokens,
        )


async def _served_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, ServedError)
    record: RequestRecord = request.state.record
    record.error = error
    problem = Problem(
        title=error.title,
        status=error.status,
        detail=error.detail,
        code=error.code,
        request_id=record.request_id,
        field=error.field,
        limit=error.limit,
        value=error.value,
    )
    headers = {"Retry-After": str(error.retry_after_s)} if error.retry_after_s else {}
    if error.status == 401:
        headers["WWW-Authenticate"] = "Bearer"
    return Response(
        to_json(problem.model_dump(exclude_none=True)),
        status_code=error.status,
        media_type=PROBLEM_TYPE,
        headers=headers,
    )


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
    return Response(status_code=_CLIENT_LEFT)


async def _bug(request: Request, error: Exception) -> Response:
    LOGGER.error("bug", exc_info=error)
    return await _served_error(request, InternalError("see the server's log for the request id"))
