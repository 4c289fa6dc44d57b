"""Logging: JSON Lines on stdout, one line for each request."""

import logging
import sys
import time
from functools import lru_cache

from pydantic_core import to_json

LOGGER = logging.getLogger("sizewise")


class JsonFormatter(logging.Formatter):
    """Format a log record as one JSON object on one line."""

    def format(self, record: logging.LogRecord) -> str:
        """Format a record as one line."""
        fields: dict[str, object] = {}
        if record.exc_info:
            fields["traceback"] = self.formatException(record.exc_info)
        level = record.levelname.lower()
        return json_line(record.created, level, record.name, record.getMessage(), fields)


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
    return to_json(line, fallback=str, inf_nan_mode="strings").decode()


@lru_cache(2)
def _second(number: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(number))


def configure_logs() -> None:
    """Send everything, uvicorn's messages included, to stdout as JSON lines."""
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(JsonFormatter())
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)


def log(event: str, **fields: object) -> None:
    """Write one line at level info, bypassing `logging`, which costs five times as much."""
    write_lines([json_line(time.time(), "info", LOGGER.name, event, fields)])


def write_lines(lines: list[str]) -> None:
    """Write lines to stdout at once."""
    sys.stdout.write("\n".join(lines) + "\n")
    sys.stdout.flush()
