"""Reads a family's folder at any URL that fsspec knows, whoever may have written what lies there.

Every read is bounded in bytes and in time, HTTP follows no redirect to another host, and no link in
a folder is followed.
"""

import math
import time
from collections.abc import Callable, Iterator
from concurrent.futures import wait
from contextlib import ExitStack, contextmanager
from functools import partial
from html.parser import HTMLParser
from typing import Any, BinaryIO, TypeVar
from urllib.parse import unquote, urljoin

import fsspec
from fsspec.asyn import AsyncFileSystem, sync
from fsspec.implementations.local import LocalFileSystem

from serving.background import Threads
from serving.bundles import local_store
from serving.errors import BundleError, StartError
from serving.extras import optional_packages

MOST_TEXT_BYTES = 16 << 20
"""Of a manifest or one of the family's own files."""
_MOST_LISTING_BYTES = 1 << 20
_MOST_NAMES = 10_000
_CHUNK_BYTES = 1 << 20
_SILENCE_S = 30.0
_LISTING_S = 120.0
# A read may take as long as a slow line needs, and no longer.
_PATIENCE_S = 60.0
_SLOWEST_BYTES_PER_S = 50_000
_PLAIN = "identity"
_READERS = Threads(4, "store")
_Result = TypeVar("_Result")


def patience_s(size: int) -> float:
    """Return how long a download of so many bytes may take."""
    return _PATIENCE_S + size / _SLOWEST_BYTES_PER_S


_STEP_S = patience_s(_CHUNK_BYTES)


class _SilentError(TimeoutError):
    """A step of reading has not ended in time, and goes on."""


def _in_time(work: Callable[[], _Result], limit_s: float) -> _Result:
    """Do one step of reading in a thread: on a mount that hangs it never ends."""
    doing = _READERS.submit(work)
    if not wait([doing], limit_s).done:
        doing.cancel()
        raise _SilentError(f"no answer within {limit_s:.0f} s")
    return doing.result()


class Store:
    """The folder of one family at a URL. Every method raises StartError if it cannot be read."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._http = url.startswith(("http://", "https://"))
        with reading(url):
            options = _http_options() if self._http else _options(url)
            self._files, self.root = fsspec.core.url_to_fs(url, **options)
        self._local = isinstance(self._files, LocalFileSystem)

    def names(self) -> dict[str, bool]:
        """Return the names in the folder, each with whether it is a folder."""
        with reading(self.url):
            listed = self._links() if self._http else _in_time(self._listed, _LISTING_S)
            if len(listed) > _MOST_NAMES:
                raise ValueError(f"it lists over {_MOST_NAMES:,} names")
        return listed

    def text(self, name: str) -> bytes | None:
        """Return a small file, None if there is no such file."""
        with reading(f"{self.root}/{name}"):
            return self._read(name, MOST_TEXT_BYTES)

    def copy(self, name: str, target: BinaryIO, size: int, limit_s: float) -> None:
        """Write a file of this size to `target`, within `limit_s`.

        Raises BundleError if it has another size, and OSError if `target` cannot be written.
        """
        written = 0
        for chunk in self._content(name, size + 1, limit_s):
            target.write(chunk)
            written += len(chunk)
        if written != size:
            path = f"{self.root}/{name}"
            raise BundleError(f"{path} does not match its manifest: publish the bundle again")

    def _content(self, name: str, most_bytes: int, limit_s: float) -> Iterator[bytes]:
        path = f"{self.root}/{name}"
        try:
            with reading(path):
                yield from self._chunks(name, most_bytes, limit_s)
        except FileNotFoundError:
            raise BundleError(f"{path} is missing: publish the bundle again") from None

    def _chunks(self, name: str, most_bytes: int, limit_s: float) -> Iterator[bytes]:
        """Yield at most so many bytes of a file. Raises TimeoutError if they come too slowly."""
        until_s = time.monotonic() + min(limit_s, patience_s(most_bytes))
        left = most_bytes
        with ExitStack() as opened:
            source = _in_time(partial(self._open, name, until_s - time.monotonic()), _STEP_S)
            opened.callback(source.close)
            try:
                while left:
                    chunk = _in_time(partial(source.read, min(left, _CHUNK_BYTES)), _STEP_S)
                    if not chunk:
                        break
                    left -= len(chunk)
                    yield chunk
                    if time.monotonic() > until_s:
                        raise TimeoutError("it comes too slowly")
            except _SilentError:
                opened.pop_all()  # to close it would wait for what reads
                raise

    def _open(self, name: str, limit_s: float) -> Any:
        if self._local:
            return local_store.open_below(self.root, name)
        path = f"{self.root.rstrip('/')}/{name}"
        if not self._http:
            return self._files.open(path, "rb")
        # Without a size, fsspec would ask for it first.
        source = self._files.open(path, "rb", size=1, timeout=_http_timeout(limit_s))
        coding = source.r.headers.get("Content-Encoding", _PLAIN)
        if coding != _PLAIN:
            source.close()
            raise ValueError(f"it is sent with Content-Encoding: {coding[:20]}: store it plain")
        return source

    def _read(self, name: str, most_bytes: int) -> bytes | None:
        try:
            content = b"".join(self._chunks(name, most_bytes + 1, math.inf))
        except FileNotFoundError:
            return None
        if len(content) > most_bytes:
            raise ValueError(f"it has over {most_bytes:,} bytes")
        return content

    def _listed(self) -> dict[str, bool]:
        if self._local:
            return local_store.names(self.root, _MOST_NAMES + 1)
        self._files.invalidate_cache()
        if isinstance(self._files, AsyncFileSystem):
            look = partial(self._files._ls, self.root, detail=True)  # noqa: SLF001
            entries = sync(self._files.loop, look, timeout=_LISTING_S)
        else:
            entries = self._files.ls(self.root, detail=True)
        return {
            each["name"].rstrip("/").rsplit("/", 1)[-1]: each["type"] == "directory"
            for each in entries
        }

    def _links(self) -> dict[str, bool]:
        page = self.root.rstrip("/") + "/"
        content = self._read("", _MOST_LISTING_BYTES)
        if content is None:
            raise FileNotFoundError(page)
        links = _Links(page)
        links.feed(content.decode(errors="replace"))
        return links.found


class _Links(HTMLParser):
    """Collects what a listing links to directly below its own address."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: dict[str, bool] = {}
        self._page = page

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """See HTMLParser."""
        link = dict(attrs).get("href")
        if tag != "a" or not link:
            return
        address = urljoin(self._page, link).partition("?")[0].partition("#")[0]
        name = address.removeprefix(self._page)
        if name != address and name.rstrip("/") and "/" not in name.rstrip("/"):
            self.found[unquote(name.rstrip("/"))] = name.endswith("/")


@contextmanager
def reading(what: str) -> Iterator[None]:
    """Turn whatever a store raises into a StartError, but for a file that is missing there."""
    try:
        with optional_packages(what):
            yield
    except StartError:
        raise
    except Exception as error:
        said = str(error) or type(error).__name__
        raise StartError(f"{what} cannot be read: {said}") from error


def _options(url: str) -> dict[str, Any]:
    """Return the options of a store that uses a proxy of the environment only if it is told to."""
    if url.startswith(("gs://", "gcs://")):
        return {"session_kwargs": {"trust_env": True}}
    return {}


def _http_timeout(limit_s: float) -> Any:
    """Return the bounds of a whole answer and of any silence in it."""
    import aiohttp  # noqa: PLC0415  only HTTP needs it

    return aiohttp.ClientTimeout(limit_s, sock_connect=_SILENCE_S, sock_read=_SILENCE_S)


def _http_options() -> dict[str, Any]:
    """Return fsspec's options for HTTP: streams, the environment's proxy, no other host."""
    import aiohttp  # noqa: PLC0415  only HTTP needs it
    from yarl import URL  # noqa: PLC0415

    async def check(_session: object, _context: object, step: Any) -> None:
        headers = step.response.headers
        there = step.url.join(URL(headers.get("Location") or headers.get("URI") or ""))
        same = there.host == step.url.host and there.scheme in {step.url.scheme, "https"}
        if not same or (there.scheme == step.url.scheme and there.port != step.url.port):
            step.response.close()
            raise ValueError(f"it redirects to {there.scheme}://{there.host}: give that URL itself")

    trace = aiohttp.TraceConfig()
    trace.on_request_redirect.append(check)
    client = {
        "trace_configs": [trace],
        "trust_env": True,
        # A few bytes may unpack to gigabytes, and what unpacks them cannot be stopped.
        "auto_decompress": False,
        "headers": {"Accept-Encoding": _PLAIN},
    }
    return {"client_kwargs": client, "block_size": 0, "skip_instance_cache": True}
