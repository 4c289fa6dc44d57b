"""API keys, kept as hashes, each with a rate limit and an urgency, from a watched file."""

import asyncio
import hashlib
import json
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, RootModel, ValidationError

from serving.access.rate_limits import NO_LIMITS, Limits
from serving.background import Reader
from serving.bundles.files import Name, read_file
from serving.errors import StartError, Unauthorized
from serving.logs import log
from serving.settings import Settings

_KEY_BYTES = 32
_WHERE = "SIZEWISE_CALLERS"


class Entry(BaseModel):
    """One caller."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", strict=True, use_attribute_docstrings=True
    )

    key_sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    """SHA-256 of the key; the key itself is kept nowhere."""
    texts_per_s: Annotated[float, Field(ge=1e-6, le=1e9, allow_inf_nan=False)] | None = None
    """Average texts a second; a larger request is accepted and paid off afterwards."""
    max_requests: Annotated[int, Field(ge=1, le=1_000_000_000)] | None = None
    """Maximum number of requests at a time; default: half of `SIZEWISE_MAX_REQUESTS`."""
    urgency: Annotated[int, Field(ge=0, le=7)] = 3
    """Urgency of its requests (RFC 9218), and the most urgent that they may ask for.

    3 is usual and 7 background; each level has twice the share of the next.
    """
    text_log: bool = False
    """Consents to `SIZEWISE_TEXT_LOG`: a sample of its texts, and its feedback, may be kept."""


class CallersFile(RootModel[dict[Name, Entry]]):
    """The callers, by name."""


@dataclass(frozen=True, slots=True)
class Caller:
    """A caller; `urgency` is the default of its requests and the most urgent that they may set."""

    name: str = ""
    urgency: int = 3
    limits: Limits = NO_LIMITS
    text_log: bool = False
    """Whether it consents to the text log."""


class Callers:
    """The callers of `SIZEWISE_CALLERS` and `SIZEWISE_API_KEY`; without either, anyone may call."""

    def __init__(self, settings: Settings, on_failure: Callable[[], None] = lambda: None) -> None:
        """Read the file. `watch` calls `on_failure` at each scan that cannot use it.

        Raises StartError if the file is invalid.
        """
        self._settings = settings
        self._on_failure = on_failure
        self._text = b""
        self._of_setting: dict[bytes, Caller] = {}
        if settings.api_key is not None:
            key = settings.api_key.get_secret_value()
            self._of_setting = {hashlib.sha256(key.encode()).digest(): _API_KEY}
        self._by_hash = self._of_setting
        if settings.callers:
            self._text = _read(settings.callers)
            self._by_hash = self._of_setting | self._parse(self._text)

    def identify(self, headers: Mapping[bytes, bytes]) -> Caller:
        """Find the caller by the API key in ASGI's `headers`. Raises Unauthorized.

        Keys are 256 random bits, so a plain SHA-256 is enough (a salt or stretching protects only
        guessable secrets), and looking it up may take its time: whoever measures that learns about
        a hash, of which no key can be made.
        """
        if not self._by_hash and not self._settings.callers:
            return _ANYBODY
        scheme, _, given = headers.get(b"authorization", b"").partition(b" ")
        caller = self._by_hash.get(hashlib.sha256(given.strip()).digest())
        if caller is None or scheme.lower() != b"bearer":
            raise Unauthorized("send Authorization: Bearer <key>", field="Authorization")
        return caller

    async def watch(self) -> None:
        """Reload the file when it changes, checking every `scan_ms`; an invalid file is ignored."""
        path = self._settings.callers
        reader = Reader(_WHERE, self._settings.load_timeout_ms / 1e3)
        failing = ""
        while path:
            await asyncio.sleep(self._settings.scan_ms / 1e3)
            try:
                text = await reader.read(_read, path)
                if text == self._text and not failing:
                    continue
                callers = self._parse(text)
                self._by_hash = self._of_setting | callers
                self._text = text
            except StartError as error:
                self._on_failure()
                if error.detail != failing:
                    log("callers not reloaded", reason=error.detail)
                failing = error.detail
            else:
                failing = ""
                log("callers reloaded", names=sorted(each.name for each in callers.values()))

    def _parse(self, text: bytes) -> dict[bytes, Caller]:
        try:
            entries = CallersFile.model_validate_json(text).root
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(map(str, first["loc"])) or "the file"
            raise StartError(f"SIZEWISE_CALLERS: {where}: {first['msg']}") from error
        half = max(1, self._settings.max_requests // 2)
        callers = {
            bytes.fromhex(entry.key_sha256): Caller(
                name,
                entry.urgency,
                Limits(entry.texts_per_s, entry.max_requests or half),
                entry.text_log,
            )
            for name, entry in entries.items()
        }
        if len(callers) < len(entries):
            raise StartError("SIZEWISE_CALLERS: two callers have the same key")
        return callers


_ANYBODY = Caller()
# No caller of the callers file can have the name.
_API_KEY = Caller("_api_key")


def new_key(name: str) -> tuple[str, str]:
    """Make a key for a caller; return the key and the caller's entry for the file."""
    key = secrets.token_urlsafe(_KEY_BYTES)
    entry = {name: {"key_sha256": hashlib.sha256(key.encode()).hexdigest()}}
    return key, json.dumps(entry)


def _read(path: Path) -> bytes:
    try:
        return read_file(path)
    except OSError as error:
        raise StartError(f"SIZEWISE_CALLERS: {error}") from error
