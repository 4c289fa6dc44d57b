"""Logging: one JSON object a line on stdout, one line a request.

It does not know what is worth saying; each caller does.
"""

import logging
import sys
import time

from pydantic_core import to_json

LOGGER = logging.getLogger("sizewise")


class JsonFormatter(logging.Formatter):
    """A record as one JSON object: time (UTC), level, logger, event, then its `fields`."""

    def format(self, record: logging.LogRecord) -> str:
        """One line without a line break."""
        moment = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
        line = {
            "time": f"{moment}.{int(record.msecs):03d}Z",
            "level": record.levelname.lower(),
            "logger": record.name,
            "event": record.getMessage(),
            **getattr(record, "fields", {}),
        }
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return to_json(line, fallback=str, inf_nan_mode="strings").decode()


def configure_logs() -> None:
    """Send everything, uvicorn's messages included, to stdout as JSON lines."""
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(JsonFormatter())
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)


def log(event: str, **fields: object) -> None:
    """Write one line at level info."""
    LOGGER.info(event, extra={"fields": fields})
