"""An HTTP store of one family whose every answer a test may replace."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from urllib.parse import urlsplit

Answer = Callable[[BaseHTTPRequestHandler], None]


class HostileStore:
    """Answers like a web server of static files, but for the paths in `answers`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.answers: dict[str, Answer] = {}
        self.asked: list[str] = []
        self.url = ""

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        """Answer one request."""
        path = urlsplit(request.path).path.strip("/")  # a proxy gets the whole URL
        self.asked.append(path)
        if path in self.answers:
            self.answers[path](request)
        elif (self.folder / path).is_file():
            send(request, (self.folder / path).read_bytes())
        elif (self.folder / path).is_dir():
            names = [f"{p.name}/" if p.is_dir() else p.name for p in (self.folder / path).iterdir()]
            send(request, "".join(f'<a href="{name}">{name}</a>' for name in names).encode())
        else:
            request.send_error(404)


def send(request: BaseHTTPRequestHandler, body: bytes, **headers: str) -> None:
    """Send a complete answer."""
    request.send_response(200)
    lines = {"Content-Length": str(len(body))} | {
        k.replace("_", "-"): v for k, v in headers.items()
    }
    for name, value in lines.items():
        request.send_header(name, value)
    request.end_headers()
    request.wfile.write(body)


def redirect(location: str) -> Answer:
    """An answer that leads elsewhere."""

    def answer(request: BaseHTTPRequestHandler) -> None:
        request.send_response(302)
        request.send_header("Location", location)
        request.send_header("Content-Length", "0")
        request.end_headers()

    return answer


def endless(request: BaseHTTPRequestHandler) -> None:
    """A body that never ends, without a Content-Length."""
    request.send_response(200)
    request.end_headers()
    with_connection_lost = (BrokenPipeError, ConnectionResetError)
    try:
        while True:
            request.wfile.write(b" " * 65_536)
    except with_connection_lost:
        return


@contextmanager
def hostile_store(folder: Path) -> Iterator[HostileStore]:
    """Serve `folder` on the loopback interface."""
    store = HostileStore(folder)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            store.answer(self)

        def do_CONNECT(self) -> None:
            store.asked.append(f"CONNECT {self.path}")
            self.send_error(502)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    store.url = f"http://127.0.0.1:{server.server_port}"
    thread = Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield store
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def outside(target: Path) -> dict[Path, bytes]:
    """Everything near a family's folder but the family and a cache, with its content."""
    paths = (path for path in target.parent.parent.rglob("*") if path.is_file())
    return {
        path: path.read_bytes()
        for path in paths
        if not path.is_relative_to(target) and "cache" not in path.parts
    }
