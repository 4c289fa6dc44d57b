"""The files of the text log, at any URL that fsspec writes to: Parquet, encrypted by its keys.

A file is written once, and replaced as a whole. Whole files are encrypted, by Fernet: neither a
footer nor statistics are left in the clear, keys can be rotated, and three lines of Python read it.
"""

import hashlib
import io
import re
import secrets
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, Literal, NamedTuple

from serving.bundles.files import MOST_SETTINGS_BYTES, read_file, replace_file
from serving.errors import StartError, failures
from serving.extras import optional_packages

Kind = Literal["texts", "feedback"]
KINDS: tuple[Kind, ...] = ("texts", "feedback")
_DELETED = "deleted"
_PARQUET, _ENCRYPTED = ".parquet", ".fernet"
_DIGITS = 13
_NAME = re.compile(rf"([0-9]{{{_DIGITS},15}})-.+{re.escape(_PARQUET)}({re.escape(_ENCRYPTED)})?")
_MAY_BE_EMPTY = {"text_pair", "answered", "alone"}
_ADDED_LATER = {"answered", "alone"}
Row = Mapping[str, Any]


class LogFile(NamedTuple):
    """A file of the log; the oldest row in it is of `since_s`, in seconds since 1970."""

    name: str
    since_s: float
    bytes: int


class LogFiles:
    """The log at one URL; what its methods raise is what the store raises."""

    def __init__(
        self, url: str, keys: Path | None = None, named: str = "SIZEWISE_TEXT_LOG"
    ) -> None:
        """Read the keys, if any: the first one encrypts, all of them decrypt. Raises StartError.

        `named` is what the user calls the log: a setting, or an option.
        """
        keys_named = "--keys" if named.startswith("--") else f"{named}_KEYS"
        with failures(StartError, f"{named}: {url}"), optional_packages(named):
            import fsspec  # noqa: PLC0415  only the log needs it
            import pyarrow.parquet  # noqa: F401, PLC0415

            self._store, self._root = fsspec.core.url_to_fs(url)
            self._local = "file" in _protocols(self._store)
            self._cipher = _cipher(keys, keys_named) if keys else None

    def write(self, kind: Kind, rows: Sequence[Row], since_s: float) -> int:
        """Write a new file; return its bytes."""
        suffix = _PARQUET + (_ENCRYPTED if self._cipher else "")
        name = f"{round(since_s * 1e3):0{_DIGITS}d}-{secrets.token_hex(4)}{suffix}"
        return self.replace(f"{kind}/{name}", rows)

    def replace(self, name: str, rows: Sequence[Row]) -> int:
        """Write a file, in place of the one that is there; return its bytes."""
        import pyarrow as pa  # noqa: PLC0415
        from pyarrow import parquet  # noqa: PLC0415

        kind = name.partition("/")[0]
        buffer = io.BytesIO()
        try:
            table = pa.Table.from_pylist(list(rows), schema=_schemas()[kind])
        except (ValueError, TypeError) as error:
            # Its message may quote a text.
            raise ValueError(f"a row has no place in the table: {type(error).__name__}") from None
        parquet.write_table(table, buffer, compression="zstd")
        content = buffer.getvalue()
        if name.endswith(_ENCRYPTED):
            assert self._cipher
            content = self._cipher.encrypt(content)
        self._put(name, content)
        return len(content)

    def read(self, name: str) -> list[dict[str, Any]]:
        """Return the rows of a file.

        Raises StartError if no key decrypts it, or it is damaged or no file of a text log.
        """
        content = self._store.cat_file(f"{self._root}/{name}")
        if name.endswith(_ENCRYPTED):
            if not self._cipher:
                raise StartError(f"{self._root}/{name} is encrypted: give the file of its keys")
            with failures(StartError, f"{self._root}/{name}: no key decrypts it"):
                content = self._cipher.decrypt(content)
        wrong = (
            f"{self._root}/{name} is damaged, or no file of a text log: restore it, or move it "
            "elsewhere to go on without its rows"
        )
        with failures(StartError, wrong):
            return _rows(content, name.partition("/")[0])

    def listed(self, kind: Kind) -> list[LogFile]:
        """Return the files of a kind, the oldest first."""
        found = []
        for name, size in self._names(kind):
            if its := _NAME.fullmatch(name):
                found.append(LogFile(f"{kind}/{name}", int(its[1]) / 1e3, size))
        return sorted(found, key=lambda file: file.since_s)

    def remove(self, name: str) -> None:
        """Remove a file; another process may have done so."""
        try:
            self._store.rm_file(f"{self._root}/{name}")
        except FileNotFoundError:
            return

    def mark_deleted(self, caller: str, request_id: str, now_s: float) -> None:
        """Note that every process is to erase a request's rows."""
        stem = f"{round(now_s * 1e3):0{_DIGITS}d}"
        self._put(f"{_DELETED}/{stem}-{digest(caller, request_id)}", b"-")

    def deletions(self) -> dict[str, float]:
        """Return the digests of the requests to erase, each with when that was asked for."""
        found = {}
        for name, _ in self._names(_DELETED):
            stem, _, its_digest = name.partition("-")
            if re.fullmatch("[0-9]{1,15}", stem):
                found[its_digest] = int(stem) / 1e3
        return found

    def forget_deletion(self, its_digest: str, asked_s: float) -> None:
        """Remove the note of a deletion."""
        self.remove(f"{_DELETED}/{round(asked_s * 1e3):0{_DIGITS}d}-{its_digest}")

    def _names(self, folder: str) -> list[tuple[str, int]]:
        self._store.invalidate_cache()
        try:
            entries = self._store.ls(f"{self._root}/{folder}", detail=True)
        except FileNotFoundError:
            return []
        return [
            (each["name"].rsplit("/", 1)[-1], each["size"] or 0)
            for each in entries
            if each["type"] == "file"
        ]

    def _put(self, name: str, content: bytes) -> None:
        path = f"{self._root}/{name}"
        if not self._local:
            self._store.pipe_file(path, content)
            return
        target = Path(path)
        target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        replace_file(target, content, mode=0o600)


def digest(caller: str, request_id: str) -> str:
    """Return what names a caller's request in the note of its deletion."""
    return hashlib.sha256(f"{caller}\0{request_id}".encode()).hexdigest()


def _rows(content: bytes, kind: str) -> list[dict[str, Any]]:
    """Return the rows of a table whose columns are those of its kind. Raises ValueError."""
    import pyarrow as pa  # noqa: PLC0415
    from pyarrow import parquet  # noqa: PLC0415

    table = parquet.read_table(io.BytesIO(content))
    fields = [
        field
        for field in _schemas()[kind]
        if field.name in table.column_names or field.name not in _ADDED_LATER
    ]
    if missing := [field.name for field in fields if field.name not in table.column_names]:
        raise ValueError(f"it has no column {missing[0]!r}")
    columns = []
    for name, kind_of_cells in ((field.name, field.type) for field in fields):
        try:
            columns.append(table[name].cast(kind_of_cells))
        except (ValueError, NotImplementedError):
            # Their message may quote a text.
            raise ValueError(f"the column {name!r} is no {kind_of_cells}") from None
        if columns[-1].null_count and name not in _MAY_BE_EMPTY:
            raise ValueError(f"the column {name!r} has empty cells")
    rows: list[dict[str, Any]] = pa.table(columns, schema=pa.schema(fields)).to_pylist()
    return rows


def _protocols(store: Any) -> tuple[str, ...]:
    protocol = store.protocol
    return (protocol,) if isinstance(protocol, str) else tuple(protocol)


def _cipher(keys: Path, named: str) -> Any:
    from cryptography.fernet import Fernet, MultiFernet  # noqa: PLC0415

    try:
        lines = read_file(keys, MOST_SETTINGS_BYTES).split()
        return MultiFernet([Fernet(line) for line in lines])
    except (OSError, ValueError) as error:
        raise StartError(
            f"{named}: {keys} must hold keys, one a line, as `python -c 'from cryptography.fernet "
            f"import Fernet; print(Fernet.generate_key().decode())'` prints one ({error})"
        ) from error


@cache
def _schemas() -> Mapping[str, Any]:
    import pyarrow as pa  # noqa: PLC0415

    text, names, time = pa.string(), pa.list_(pa.string()), pa.timestamp("ms", tz="UTC")
    answered = {
        "time": time, "caller": text, "request_id": text,
        "index": pa.int32(), "model": text, "variant": text, "version": text, "predicted": names,
    }  # fmt: skip
    read = {"text": text, "text_pair": text, "labels": names, "scores": pa.list_(pa.float64())}
    judged = {"right": names, "answered": time, "alone": pa.bool_()}
    return {"texts": pa.schema(answered | read), "feedback": pa.schema(answered | judged)}
