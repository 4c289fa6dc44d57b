"""Logging: JSON Lines on stdout, one line for each request."""

import atexit
import json
import logging
import sys
import threading
import time
from functools import lru_cache
from types import TracebackType

from pydantic_core import PydanticSerializationError, from_json, to_json

from serving.errors import printable
from serving.line_writer import LineWriter

LOGGER = logging.getLogger("sizewise")
_FLUSH_S = 2.0

_CUT = " [...] "
_FEWEST_CHARS = 64


def shortened(line: bytes, most: int) -> bytes:
    """Cut the middle of a JSON line's longest fields until it has at most `most` bytes.

    A line that cannot be shortened so is replaced by an event that says so.
    """
    bytes_before, fields = len(line), from_json(line)
    while len(line) > most:
        name = max(fields, key=lambda name: len(to_json(fields[name])))
        value = fields[name]
        text = value if isinstance(value, str) else to_json(value).decode()
        if len(text) < _FEWEST_CHARS:
            cut = {"event": "a line was too long", "bytes": bytes_before}
            return to_json({key: fields.get(key) for key in ("time", "level", "logger")} | cut)
        surplus = (len(line) - most) * len(text) // len(to_json(text))
        part = min(len(text) - surplus - len(_CUT), len(text) * 3 // 4) // 2
        part = max(part, _FEWEST_CHARS // 4)
        fields[name] = text[:part] + _CUT + text[-part:]
        line = to_json(fields)
    return line


OUT = LineWriter(1, shorten=shortened)
"""The log."""
ERR = LineWriter(2)
"""What the server tells whoever has started it."""

write_lines = OUT.write


class JsonFormatter(logging.Formatter):
    """Format a log record as one JSON object on one line."""

    def format(self, record: logging.LogRecord) -> str:
        """Format a record as one line."""
        fields: dict[str, object] = {}
        if record.exc_info:
            fields["traceback"] = self.formatException(record.exc_info)
        level = record.levelname.lower()
        return json_line(record.created, level, record.name, record.getMessage(), fields)


class _Handler(logging.Handler):
    """Write records to the log."""

    def emit(self, record: logging.LogRecord) -> None:
        """Write a record as one line."""
        try:
            OUT.write([self.format(record)])
        except Exception:  # noqa: BLE001  a record that cannot be formatted costs its line
            OUT.drop(1)


def json_line(
    created_s: float, level: str, logger: str, event: str, fields: dict[str, object]
) -> str:
    """Write one JSON object: time (UTC), level, logger, event, then the fields."""
    milliseconds = int(created_s % 1 * 1000)
    line = {
        "time": f"{_second(int(created_s))}.{milliseconds:03d}Z",
        "level": level,
        "logger": logger,
        "event": event,
        **fields,
    }
    try:
        return to_json(line, fallback=str, inf_nan_mode="strings").decode()
    except PydanticSerializationError:  # a file name that is not UTF-8
        return printable(json.dumps(line, default=str, ensure_ascii=False, separators=(",", ":")))


@lru_cache(2)
def _second(number: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(number))


def configure_logs(*, shared: bool = False) -> None:
    """Send everything to stdout as JSON lines, from a thread: no caller waits for the log.

    If other processes write there too (`shared`), lines for a pipe are at most 4,096 bytes long.

    That includes uvicorn's messages, Python's warnings and exceptions that nobody has caught. At
    the process's end the lines are written for at most two seconds.
    """
    for writer in (OUT, ERR):
        writer.start(shared=shared)
    handler = _Handler()
    handler.setFormatter(JsonFormatter())
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)
    logging.captureWarnings(capture=True)
    sys.excepthook = _uncaught
    threading.excepthook = lambda thrown: _uncaught(
        thrown.exc_type, thrown.exc_value, thrown.exc_traceback
    )
    sys.unraisablehook = lambda thrown: _uncaught(
        thrown.exc_type, thrown.exc_value, thrown.exc_traceback
    )
    atexit.register(_flush)


def _uncaught(
    kind: type[BaseException], error: BaseException | None, where: TracebackType | None
) -> None:
    if not issubclass(kind, (KeyboardInterrupt, SystemExit)):
        LOGGER.critical("bug", exc_info=(kind, error or kind(), where))


def _flush() -> None:
    until_s = time.monotonic() + _FLUSH_S
    for writer in (OUT, ERR):
        writer.flush(until_s - time.monotonic())


def log(event: str, **fields: object) -> None:
    """Write one line at level info, bypassing `logging`, which costs five times as much."""
    write_lines([json_line(time.time(), "info", LOGGER.name, event, fields)])
