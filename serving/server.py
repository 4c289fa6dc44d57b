"""uvicorn with a shutdown that loses nothing and with problem+json for broken HTTP.

It does not know what the application does.
"""

import asyncio
from types import FrameType

import uvicorn
from fastapi import FastAPI
from pydantic_core import to_json
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from serving.errors import MalformedRequest
from serving.logs import log
from serving.service import Service
from serving.settings import Settings


class HttpProtocol(HttpToolsProtocol):
    """HTTP/1.1 whose parser errors are problem+json too."""

    def send_400_response(self, msg: str) -> None:
        """Answer bytes that are not HTTP, and close the connection."""
        problem = {
            "type": "about:blank",
            "title": MalformedRequest.title,
            "status": MalformedRequest.status,
            "detail": f"{msg} Send HTTP/1.1.",
            "code": MalformedRequest.code,
            "field": "request line or headers",
        }
        body = to_json(problem)
        self.transport.write(
            b"HTTP/1.1 400 Bad Request\r\ncontent-type: application/problem+json\r\n"
            b"connection: close\r\ncontent-length: %d\r\n\r\n%s" % (len(body), body)
        )
        self.transport.close()


class Server(uvicorn.Server):
    """On SIGTERM or SIGINT: readiness falls, a delay passes, the listener closes, work is drained.

    During the delay requests are still answered, each with `Connection: close`, so that clients
    and load balancers go elsewhere before the listener closes. A second signal skips the delay.
    """

    def __init__(self, app: FastAPI, settings: Settings) -> None:
        super().__init__(
            uvicorn.Config(
                app,
                host=settings.host,
                port=settings.port,
                loop="uvloop",
                http=HttpProtocol,
                ws="none",
                log_config=None,
                access_log=False,
                server_header=False,
                timeout_graceful_shutdown=max(1, round(settings.drain_ms / 1e3)),
            )
        )
        self._service: Service = app.state.service
        self._delay_s = settings.shutdown_delay_ms / 1e3

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:  # noqa: ARG002  uvicorn calls it so
        """Called in the main thread between two byte codes, so it only schedules."""
        if self._service.draining:
            self.should_exit = True
            return
        self._service.draining = True
        log("draining", signal=sig, delay_s=self._delay_s)
        loop = asyncio.get_running_loop()
        loop.call_soon_threadsafe(loop.call_later, self._delay_s, self._stop)

    def _stop(self) -> None:
        self.should_exit = True
