"""create_admin(...): the API of who runs the server, on a port and with a key of its own.

It does not know how a change is carried out: that is catalogue.py.
"""

import secrets
from typing import Literal

from fastapi import Depends, FastAPI, Request, Response
from pydantic import BaseModel
from starlette.exceptions import HTTPException

from serving.bundles.traffic import Traffic, VariantTraffic, bundles_of
from serving.errors import (
    EngineFailed,
    InternalError,
    InvalidField,
    MethodNotAllowed,
    PathNotFound,
    ServedError,
    StartError,
    Unauthorized,
    UnknownModel,
)
from serving.logs import LOGGER, log
from serving.protocols.cancellation import Interrupt
from serving.protocols.native import API
from serving.protocols.request_body import parse_body, read_body
from serving.runtime.local import LocalRuntime
from serving.runtime.reconciler import Catalogue
from serving.settings import Settings


class FamilyState(BaseModel):
    """One family: what lies there, what is served of it, and by whose word."""

    state: Literal["served", "resting", "unloaded", "refused"]
    bytes: int
    versions: dict[str, list[str]]
    served: dict[str, VariantTraffic]
    told: dict[str, VariantTraffic] | None


class CatalogueState(BaseModel):
    """All families; `refused` has by path why something cannot be served."""

    revision: int
    memory_bytes: int
    memory_limit_bytes: int
    families: dict[str, FamilyState]
    refused: dict[str, str]


class Admin:
    """The endpoints, over one catalogue."""

    def __init__(self, settings: Settings, catalogue: Catalogue, runtime: LocalRuntime) -> None:
        self._settings = settings
        self._catalogue = catalogue
        self._runtime = runtime

    def authorize(self, request: Request) -> None:
        """Raises Unauthorized without the admin's key."""
        key = self._settings.admin_key
        wanted = f"Bearer {key.get_secret_value() if key else ''}".encode()
        given = request.headers.get("authorization", "").encode()
        if key is None or not secrets.compare_digest(wanted, given):
            raise Unauthorized("send Authorization: Bearer <admin key>", field="Authorization")

    async def families(self) -> CatalogueState:
        """All that lies in the registries, and what is made of it."""
        served = self._catalogue.served
        families = {name: self._state(name) for name in sorted(self._catalogue.found.bundles)}
        return CatalogueState(
            revision=served.revision,
            memory_bytes=sum(each.bytes for each in families.values()),
            memory_limit_bytes=self._settings.memory_bytes,
            families=families,
            refused=dict(served.refused),
        )

    async def family(self, family: str) -> FamilyState:
        """One family. Raises UnknownModel."""
        known = sorted(self._catalogue.found.bundles)
        if family not in known:
            raise UnknownModel(
                f"there is no model {family!r}: name one of {known}",
                field="family",
                limit=known,
                value=family,
            )
        return self._state(family)

    async def direct(self, family: str, request: Request) -> FamilyState:
        """Serve by the traffic of the body instead of traffic.json, until told otherwise."""
        await self.family(family)
        with Interrupt() as interrupt:
            headers = dict(request.scope["headers"])
            body = await read_body(headers, request.receive, interrupt, self._settings)
        traffic = parse_body(Traffic, body)
        try:
            await self._catalogue.direct(family, traffic)
        except (StartError, EngineFailed) as error:
            raise InvalidField(error.detail, field="traffic", value=traffic.model_dump()) from error
        return self._state(family)

    async def undirect(self, family: str) -> FamilyState:
        """Serve by traffic.json again."""
        await self.family(family)
        await self._catalogue.direct(family, None)
        return self._state(family)

    async def unload(self, family: str) -> FamilyState:
        """Serve it no more, and free its memory once nothing that was accepted needs it."""
        await self.family(family)
        await self._catalogue.unload(family)
        return self._state(family)

    async def load(self, family: str) -> FamilyState:
        """Serve it again."""
        await self.family(family)
        await self._catalogue.reload(family)
        return self._state(family)

    async def rescan(self) -> CatalogueState:
        """Look into the registries now, and serve what lies there."""
        await self._catalogue.rescan()
        return await self.families()

    def _state(self, name: str) -> FamilyState:
        served, found = self._catalogue.served, self._catalogue.found.bundles[name]
        versions: dict[str, list[str]] = {}
        for bundle in found:
            versions.setdefault(bundle.manifest.variant, []).append(bundle.manifest.version)
        told = self._catalogue.told.get(name)
        variants = served.families.get(name, {})
        return FamilyState(
            state="served" if name in served.families
            else "resting" if name in served.resting
            else "unloaded" if name in served.unloaded
            else "refused",
            bytes=sum(map(self._runtime.bytes_of, bundles_of(variants))),
            versions=versions,
            served={variant: each.traffic() for variant, each in variants.items()},
            told=told.root if told else None,
        )  # fmt: skip


def create_admin(settings: Settings, catalogue: Catalogue, runtime: LocalRuntime) -> FastAPI:
    """The application; everything wants the admin's key."""
    admin = Admin(settings, catalogue, runtime)
    app = FastAPI(
        title="Sizewise admin",
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        dependencies=[Depends(admin.authorize)],
        exception_handlers={
            ServedError: _served_error,
            HTTPException: _http_exception,
            Exception: _bug,
        },
    )
    one = "/admin/models/{family}"
    app.get("/admin/models")(admin.families)
    app.get(one)(admin.family)
    app.put(f"{one}/traffic")(admin.direct)
    app.delete(f"{one}/traffic")(admin.undirect)
    app.post(f"{one}/unload")(admin.unload)
    app.post(f"{one}/load")(admin.load)
    app.post("/admin/rescan")(admin.rescan)
    return app


async def _served_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, ServedError)
    log("admin refused", method=request.method, path=request.url.path, code=error.code)
    status, body, media_type = API.refusal(error, "")
    headers = {"WWW-Authenticate": "Bearer"} if status == 401 else None
    return Response(body, status_code=status, media_type=media_type, headers=headers)


async def _http_exception(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    if error.status_code == 405:
        allowed = (error.headers or {}).get("Allow", "")
        refused: ServedError = MethodNotAllowed(
            f"this takes {allowed}", field="method", limit=allowed, value=request.method
        )
    else:
        refused = PathNotFound(
            "see README.md for the admin API", field="path", value=request.url.path[:100]
        )
    return await _served_error(request, refused)


async def _bug(request: Request, error: Exception) -> Response:
    LOGGER.error("bug", exc_info=error)
    return await _served_error(request, InternalError("see the server's log"))
