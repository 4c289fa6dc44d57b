"""The playground's and the family's page, as they are sent: each file's bytes, type and hash."""

from hashlib import sha256
from importlib.resources import files
from typing import NamedTuple

_TYPES = {
    "css": "text/css; charset=utf-8",
    "html": "text/html; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "svg": "image/svg+xml",
}


class Page(NamedTuple):
    """A file as it is sent: its bytes, its media type and the hash that names its version."""

    content: bytes
    media_type: str
    etag: str


def pages() -> dict[str, Page]:
    """Read all files, by the path under which they are served; `/` is the playground."""
    root = files(__package__)
    found = {}
    for folder in ("", "vendor/"):
        for file in root.joinpath(folder).iterdir():
            media_type = _TYPES.get(file.name.rpartition(".")[2])
            if media_type:
                content = file.read_bytes()
                etag = f'"{sha256(content).hexdigest()[:16]}"'
                path = "/" if file.name == "index.html" else f"/playground/{folder}{file.name}"
                found[path] = Page(content, media_type, etag)
    return found
