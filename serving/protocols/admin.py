"""The admin API: traffic, loading and unloading of families, by a port and key of its own."""

import asyncio
import secrets
from functools import partial
from typing import Literal

from fastapi import Depends, FastAPI, Request, Response
from pydantic import BaseModel, ConfigDict
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.types import Message, Receive, Scope, Send

from serving.background import short_work
from serving.bundles.traffic import Traffic, VariantTraffic, bundles_of
from serving.errors import (
    EngineFailed,
    InternalError,
    InvalidField,
    MethodNotAllowed,
    NotReady,
    PathNotFound,
    ServedError,
    StartError,
    Unauthorized,
    UnknownModel,
)
from serving.logs import LOGGER, log
from serving.observability.recorder import CLIENT_LEFT
from serving.observability.request_log import request_id
from serving.protocols.cancellation import Cancellation
from serving.protocols.large_body import INLINE_BYTES, check_structure
from serving.protocols.native_schemas import Problem
from serving.protocols.openapi import CLASSIFYING, READING, describe, refusals, request_body
from serving.protocols.problem import PROBLEM_TYPE, error_headers, problem
from serving.protocols.request_body import parse_body, read_body
from serving.runtime.in_flight import out_of_time
from serving.runtime.local import LocalRuntime
from serving.runtime.reconciler import Reconciler
from serving.settings import Settings
from serving.shortage import is_shortage

_SHORTAGE_RETRY_AFTER_S = 2


class _Described(BaseModel):
    model_config = ConfigDict(use_attribute_docstrings=True)


class FamilyState(_Described):
    """One family: what is in the registry, and what is served."""

    state: Literal["served", "resting", "unloaded", "refused"]
    """Whether it is served, and if not, why."""
    bytes: int
    """Memory that it takes."""
    versions: dict[str, list[str]]
    """Versions in the registry, by variant."""
    served: dict[str, VariantTraffic]
    """What is served, by variant."""
    told: dict[str, VariantTraffic] | None
    """Traffic that was set here and replaces traffic.json."""


class CatalogueState(_Described):
    """All families."""

    revision: int
    """Counts the changes of what is served."""
    memory_bytes: int
    """Memory that the families take."""
    memory_limit_bytes: int
    """`SIZEWISE_MEMORY_BYTES`."""
    families: dict[str, FamilyState]
    """The families, by name."""
    refused: dict[str, str]
    """What cannot be served and why, by path."""


class Admin:
    """The endpoints."""

    def __init__(self, settings: Settings, reconciler: Reconciler, runtime: LocalRuntime) -> None:
        self._settings = settings
        self._reconciler = reconciler
        self._runtime = runtime

    def authorize(self, request: Request) -> None:
        """Raise Unauthorized without the admin key."""
        key = self._settings.admin_key
        wanted = f"Bearer {key.get_secret_value() if key else ''}".encode()
        given = request.headers.get("authorization", "").encode()
        if key is None or not secrets.compare_digest(wanted, given):
            raise Unauthorized("send Authorization: Bearer <admin key>", field="Authorization")

    async def families(self) -> CatalogueState:
        """Every family in the registries, and what is served of it."""
        served = self._reconciler.served
        families = {name: self._state(name) for name in sorted(self._reconciler.found.bundles)}
        return CatalogueState(
            revision=served.revision,
            memory_bytes=sum(each.bytes for each in families.values()),
            memory_limit_bytes=self._settings.memory_bytes,
            families=families,
            refused=dict(served.refused),
        )

    async def family(self, family: str) -> FamilyState:
        """One family.

        Raises UnknownModel.
        """
        return self._state(family)

    async def direct(self, family: str, request: Request) -> FamilyState:
        """Serve by this traffic instead of traffic.json, until it is deleted or the server ends."""
        await self.family(family)
        with Cancellation() as cancel:
            headers = dict(request.scope["headers"])
            body = await read_body(headers, request.receive, cancel, self._settings)
        if len(body) > INLINE_BYTES:
            check_structure(body, self._settings.max_texts)
        traffic = await short_work(partial(parse_body, Traffic, body))
        try:
            await self._reconciler.set_traffic(family, traffic)
        except (StartError, EngineFailed) as error:
            if is_shortage(error):
                raise NotReady(error.detail, retry_after_s=_SHORTAGE_RETRY_AFTER_S) from error
            raise InvalidField(error.detail, field="traffic", value=traffic.model_dump()) from error
        return self._state(family)

    async def undirect(self, family: str) -> FamilyState:
        """Serve by traffic.json again."""
        await self.family(family)
        await self._reconciler.set_traffic(family, None)
        return self._state(family)

    async def unload(self, family: str) -> FamilyState:
        """Stop serving it, and free its memory once no accepted request needs it."""
        await self.family(family)
        await self._reconciler.unload(family)
        return self._state(family)

    async def load(self, family: str) -> FamilyState:
        """Serve it again."""
        await self.family(family)
        await self._reconciler.reload(family)
        return self._state(family)

    async def rescan(self) -> CatalogueState:
        """Look into the registries now, and serve what has changed."""
        await self._reconciler.rescan()
        return await self.families()

    def _state(self, name: str) -> FamilyState:
        served, known = self._reconciler.served, self._reconciler.found.bundles
        found = known.get(name)
        if found is None:  # or no longer, as its folder was removed meanwhile
            raise UnknownModel(
                f"there is no model {name!r}: name one of {sorted(known)}",
                field="family",
                limit=sorted(known),
                value=name,
            )
        versions: dict[str, list[str]] = {}
        for bundle in found:
            versions.setdefault(bundle.manifest.variant, []).append(bundle.manifest.version)
        override = self._reconciler.overrides.get(name)
        variants = served.families.get(name, {})
        return FamilyState(
            state="served" if name in served.families
            else "resting" if name in served.resting
            else "unloaded" if name in served.unloaded
            else "refused",
            bytes=sum(map(self._runtime.bytes_of, bundles_of(variants))),
            versions=versions,
            served={variant: each.traffic() for variant, each in variants.items()},
            told=override.root if override else None,
        )  # fmt: skip


class AdminApp:
    """The ASGI application of the admin API: gives each request its id, and each response too."""

    def __init__(self, api: FastAPI) -> None:
        self.api = api

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See the ASGI specification, version 3."""
        if scope["type"] != "http":
            await self.api(scope, receive, send)
            return
        its_id = request_id(dict(scope["headers"]))
        scope.setdefault("state", {})["request_id"] = its_id

        started = False

        async def send_with_id(message: Message) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                message["headers"].append((b"x-request-id", its_id.encode()))
            await send(message)

        try:
            await self.api(scope, receive, send_with_id)
        except asyncio.CancelledError:  # the time to drain is over
            if started:
                raise
            response = await _served_error(Request(scope), out_of_time())
            await response(scope, receive, send_with_id)


def create_admin(settings: Settings, reconciler: Reconciler, runtime: LocalRuntime) -> AdminApp:
    """Make the application; every endpoint requires the admin key."""
    admin = Admin(settings, reconciler, runtime)
    app = FastAPI(
        title="Sizewise admin",
        docs_url=None,
        openapi_url=None,
        redoc_url=None,
        redirect_slashes=False,
        dependencies=[Depends(admin.authorize)],
        exception_handlers={
            ServedError: _served_error,
            HTTPException: _http_exception,
            ClientDisconnect: _client_left,
            Exception: _bug,
        },
    )
    app.state.authorize = admin.authorize
    describe(app)
    read, written = (
        refusals(Problem, statuses, PROBLEM_TYPE) for statuses in (READING, CLASSIFYING)
    )
    one = "/admin/models/{family}"
    app.get("/admin/models", responses=read)(admin.families)
    app.get(one, responses=read)(admin.family)
    app.put(f"{one}/traffic", responses=written, openapi_extra=request_body(Traffic))(admin.direct)
    app.delete(f"{one}/traffic", responses=read)(admin.undirect)
    app.post(f"{one}/unload", responses=read)(admin.unload)
    app.post(f"{one}/load", responses=read)(admin.load)
    app.post("/admin/rescan", responses=read)(admin.rescan)
    return AdminApp(app)


async def _served_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, ServedError)
    log(
        "admin refused",
        request_id=request.state.request_id,
        method=request.method,
        path=request.url.path,
        code=error.code,
    )
    status, body, media_type = problem(error, request.state.request_id)
    return Response(body, status_code=status, media_type=media_type, headers=error_headers(error))


async def _http_exception(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    try:
        request.app.state.authorize(request)
    except Unauthorized as unauthorized:
        return await _served_error(request, unauthorized)
    if error.status_code == 405:
        allowed = (error.headers or {}).get("Allow", "")
        refused = MethodNotAllowed(
            f"{request.url.path} accepts {allowed}",
            field="method",
            limit=allowed,
            value=request.method,
        )
        response = await _served_error(request, refused)
        response.headers["Allow"] = allowed
        return response
    unknown = PathNotFound(
        "see docs/reference/http-api.md for the admin API",
        field="path",
        value=request.url.path[:100],
    )
    return await _served_error(request, unknown)


async def _client_left(_request: Request, _error: Exception) -> Response:
    return Response(status_code=CLIENT_LEFT)


async def _bug(request: Request, error: Exception) -> Response:
    LOGGER.error("bug", exc_info=error)
    return await _served_error(request, InternalError("see the server's log for the request id"))
