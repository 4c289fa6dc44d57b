"""Types and parsing shared by the JSON files of a registry."""

import ctypes
import os
import re
import secrets
import shutil
import stat
import unicodedata
from collections.abc import Collection, Iterator
from contextlib import suppress
from functools import partial
from io import BufferedReader
from itertools import islice
from pathlib import Path, PureWindowsPath
from typing import Annotated, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from serving.errors import BundleError, own_words, printable

Parsed = TypeVar("Parsed", bound=BaseModel)
_MOST_LISTED = 20
MOST_DESCRIPTION_BYTES = 4 << 20
"""Size limit of a JSON file that describes; parsed, it may take thirty times as much."""
MOST_TOKENIZER_BYTES = 256 << 20
"""Size limit of a tokenizer.json; those of the largest vocabularies have about 40 MB."""
MOST_SETTINGS_BYTES = 64 << 10
"""Size limit of a traffic.json, a policy.json or a signature."""
MOST = 2**53
"""The largest number in a file; JSON's readers agree on all up to it."""
MOST_INT32 = 2**31 - 1
"""The largest token and dimension that every engine can read."""
Count = Annotated[int, Field(ge=0, le=MOST)]

NAME = re.compile(r"^[a-z0-9]([a-z0-9.-]{0,61}[a-z0-9])?$")
Name = Annotated[str, Field(pattern=NAME.pattern)]


_MOST_NAME_BYTES = 255
# Constants of renameat2(2).
_AT_FDCWD, _RENAME_EXCHANGE = -100, 2
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069]")
_DEVICE = re.compile(
    r"(con|prn|aux|nul|conin\$|conout\$|(com|lpt)[0-9\u00b9\u00b2\u00b3])\s*(\.|$)", re.IGNORECASE
)


def plain(name: str) -> str:
    """Return the name of a file in a folder. Raises ValueError unless every system agrees on it."""
    if (
        name.startswith("..")
        or name in {"", "."}
        or name != name.rstrip(" .")
        or set(name) & set('/\\:*?"<>|')
        or _CONTROL.search(name)
        or _DEVICE.match(name)
        or len(os.fsencode(name)) > _MOST_NAME_BYTES
        or PureWindowsPath(name).name != name
    ):
        raise ValueError(f"{name[:100]!r} is not the plain name of a file")
    return name


def folded(name: str) -> str:
    """Return what names have in common that some file system takes for one."""
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", name).casefold())


FileName = Annotated[str, AfterValidator(plain)]


Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class Frozen(BaseModel):
    """The content of a file: immutable, finite, without unknown fields."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", allow_inf_nan=False, use_attribute_docstrings=True
    )


def parse(model: type[Parsed], text: str, where: Path | str) -> Parsed:
    """Parse the text of a file. Raises BundleError naming the file and the field."""
    try:
        return model.model_validate_json(text)
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"]) or "the file"
        raise BundleError(f"{where}: {field}: {first['msg']}") from error


def listed(names: Collection[object]) -> str:
    """Join names for a message, which only needs the first of very many."""
    shown = ", ".join(str(name) for name in islice(names, _MOST_LISTED))
    rest = len(names) - _MOST_LISTED
    return f"{shown} and {rest:,} more" if rest > 0 else shown


def read_text(path: Path, encoding: str = "utf-8", limit: int = MOST_DESCRIPTION_BYTES) -> str:
    """Read a file. Raises OSError as read_file, UnicodeDecodeError if it is no text."""
    return read_file(path, limit).decode(encoding)


def read_file(path: Path, limit: int = MOST_DESCRIPTION_BYTES) -> bytes:
    """Read a file. Raises OSError if it is none, as a named pipe is, or larger than `limit`."""
    with open_file(path) as file:
        large = os.fstat(file.fileno()).st_size > limit
        content = b"" if large else file.read(limit + 1)  # it may grow meanwhile
    if large or len(content) > limit:
        raise OSError(f"{path} is larger than {limit:,} bytes, which no such file needs")
    return content


def content_of(path: Path) -> bytes | None:
    """Return the content of a file, None if it cannot be read."""
    try:
        return read_file(path)
    except OSError:
        return None


def open_file(path: Path, *, below: int | None = None) -> BufferedReader:
    """Open a file to read it. Raises OSError if it is none: opening a named pipe could never end.

    `below` is the descriptor of the folder that `path` starts from; then no link is followed.
    """
    flags = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC
    descriptor = os.open(path, flags | (0 if below is None else os.O_NOFOLLOW), dir_fd=below)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(f"{path} is not a file")
    return os.fdopen(descriptor, "rb")


def within(path: Path, folder: Path) -> Path:
    """Return `path`. Raises OSError if symbolic links lead it out of `folder`.

    Links inside it are followed: Kubernetes mounts ConfigMaps and Secrets with them.
    """
    if not Path(os.path.realpath(path)).is_relative_to(os.path.realpath(folder)):
        raise OSError(f"{path} is a link that leads out of {folder}")
    return path


def beside(path: Path, other: Path) -> Path:
    """Return `path`. Raises OSError if symbolic links lead it out of the folder of `other`.

    Where `other` is a link itself, as in the cache of the Hugging Face Hub, `path` may lead to the
    same folder.
    """
    real, target = Path(os.path.realpath(path)), Path(os.path.realpath(other))
    if real.parent == target.parent:
        return path
    return within(path, other.parent)


def create_beside(path: Path) -> Path:
    """Create a hidden folder of a name that nobody can foresee, next to `path`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    staged = path.with_name(f".{path.name[:100]}.{secrets.token_hex(8)}")
    staged.mkdir()
    return staged


def remove(path: Path) -> None:
    """Remove a folder, or whatever else is there, as far as possible; a link is not followed.

    What is no folder is not opened, as rmtree does: opening a named pipe could never end.
    """
    with suppress(OSError, RecursionError):  # a neighbour may have nested folders without end
        if stat.S_ISDIR(path.lstat().st_mode):
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink()


def write_new(path: Path, content: bytes, mode: int = 0o666) -> None:
    """Write a file that must not exist yet, not even as a link; `mode` is before the umask."""
    with open(path, "xb", opener=partial(os.open, mode=mode)) as file:
        file.write(content)


def replace_file(path: Path, content: bytes, mode: int = 0o666) -> None:
    """Write a file atomically, unless it already has this content. A link there is replaced."""
    if path.is_file() and not path.is_symlink() and path.read_bytes() == content:
        return
    staged = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    try:
        write_new(staged, content, mode)
        sync(staged)
        staged.replace(path)
    except OSError:
        staged.unlink(missing_ok=True)
        raise


def sync(path: Path) -> None:
    """Flush a file or a folder's entries to disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def exchange(one: Path, other: Path) -> None:
    """Swap the names of two folders, in one step where the file system can (NFS cannot)."""
    libc = ctypes.CDLL(None, use_errno=True)
    paths = (_AT_FDCWD, bytes(one), _AT_FDCWD, bytes(other))
    if hasattr(libc, "renameat2") and libc.renameat2(*paths, _RENAME_EXCHANGE) == 0:
        return
    aside = one.with_name(one.name + ".old")
    other.rename(aside)
    one.rename(other)
    aside.rename(one)


def subfolders(folder: Path, refused: dict[str, str]) -> Iterator[Path]:
    """Yield the folders, and the links that lead nowhere: their error is the reason to refuse.

    What the file system gives no information about is refused.
    """
    for path in sorted(folder.iterdir()):
        try:
            broken = path.is_symlink() and not path.exists()
            if not path.name.startswith(".") and (broken or path.is_dir()):
                yield path
        except OSError as error:
            refused[printable(str(path))] = printable(own_words(error))
