"""Who may ask: API keys by their hash, each with its limits and its urgency, from a watched file.

It does not know what is asked, nor how far a limit is used up: that is limits.py.
"""

import asyncio
import hashlib
import json
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, RootModel, ValidationError

from serving.access.rate_limits import Limits
from serving.bundles.files import Name
from serving.errors import StartError, Unauthorized
from serving.logs import log
from serving.settings import Settings

_KEY_BYTES = 32


class Entry(BaseModel):
    """One caller of the file; see README.md."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    key_sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    texts_per_s: Annotated[float, Field(gt=0)] | None = None
    max_requests: Annotated[int, Field(ge=1)] | None = None
    urgency: Annotated[int, Field(ge=0, le=7)] = 3


class CallersFile(RootModel[dict[Name, Entry]]):
    """By the caller's name."""


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks; `urgency` is usual for its requests and the most that one may ask for."""

    name: str = ""
    urgency: int = 3
    limits: Limits = field(default_factory=Limits)


class Callers:
    """Those of `SIZEWISE_CALLERS`, and whoever has `SIZEWISE_API_KEY`; anybody without either."""

    def __init__(self, settings: Settings) -> None:
        """Raises StartError when the file is wrong."""
        self._settings = settings
        self._text = b""
        self._by_hash: Mapping[bytes, Caller] = {}
        if settings.callers:
            self._text = _read(settings.callers)
            self._by_hash = self._parse(self._text)

    def identify(self, headers: Mapping[bytes, bytes]) -> Caller:
        """Whose key ASGI's `headers` hold. Raises Unauthorized.

        Keys are 256 random bits, so that one SHA-256 is enough to keep (no salt, no stretching:
        there is nothing to guess); all hashes are compared, each in constant time.
        """
        api_key = self._settings.api_key
        if api_key is None and not self._settings.callers:
            return _ANYBODY
        scheme, _, given = headers.get(b"authorization", b"").partition(b" ")
        hashed = _hash(given.strip())
        known = list(self._by_hash.items())
        if api_key is not None:
            known.append((_hash(api_key.get_secret_value().encode()), _ANYBODY))
        found = [caller for its, caller in known if secrets.compare_digest(its, hashed)]
        if not found or scheme.lower() != b"bearer":
            raise Unauthorized("send Authorization: Bearer <key>", field="Authorization")
        return found[0]

    async def watch(self) -> None:
        """Take a changed file every `scan_ms`, for ever; a wrong one changes nothing."""
        path = self._settings.callers
        while path:
            await asyncio.sleep(self._settings.scan_ms / 1e3)
            try:
                text = await asyncio.to_thread(_read, path)
                if text == self._text:
                    continue
                self._text = text
                self._by_hash = self._parse(text)
            except StartError as error:
                log("the callers stay as they were", reason=error.detail)
            else:
                log("callers", names=sorted(caller.name for caller in self._by_hash.values()))

    def _parse(self, text: bytes) -> Mapping[bytes, Caller]:
        try:
            entries = CallersFile.model_validate_json(text).root
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(map(str, first["loc"])) or "the file"
            raise StartError(f"SIZEWISE_CALLERS: {where}: {first['msg']}") from error
        half = max(1, self._settings.max_requests // 2)
        callers = {
            bytes.fromhex(entry.key_sha256): Caller(
                name, entry.urgency, Limits(entry.texts_per_s, entry.max_requests or half)
            )
            for name, entry in entries.items()
        }
        if len(callers) < len(entries):
            raise StartError("SIZEWISE_CALLERS: two callers have the same key")
        return callers


_ANYBODY = Caller()


def new_key(name: str) -> tuple[str, str]:
    """A key for a caller, and its entry for the file."""
    key = secrets.token_urlsafe(_KEY_BYTES)
    entry = {name: {"key_sha256": _hash(key.encode()).hex()}}
    return key, json.dumps(entry)


def _hash(key: bytes) -> bytes:
    return hashlib.sha256(key).digest()


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise StartError(f"SIZEWISE_CALLERS: {error}") from error
