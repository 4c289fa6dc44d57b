"""A stand-in for a server of language models, which says what has reached it."""

import contextlib
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

ANSWER = {
    "id": "1",
    "object": "chat.completion",
    "created": 1,
    "model": "m",
    "choices": [
        {
            "index": 0,
            "finish_reason": "stop",
            "message": {"role": "assistant", "content": "an answer"},
        }
    ],
}


@contextlib.contextmanager
def language_model(reached):
    """Its port; `reached` gets (headers, body) of each whole request."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(reached))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _handler(reached):
    class Model(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self):
            self._answer(b"")

        def do_POST(self):
            if length := self.headers["Content-Length"]:
                self._answer(self.rfile.read(int(length)))
                return
            body = b""
            while line := self.rfile.readline():
                body += self.rfile.read(int(line, 16))
                self.rfile.readline()
                if line.strip() == b"0":  # or else the rest was withheld
                    self._answer(body)
                    return

        def _answer(self, body):
            reached.append((dict(self.headers), body))
            answer = json.dumps(ANSWER).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *_args):
            pass

    return Model
