"""A small HTTP server in the place of `python -m serving`; a variant's name says how it behaves."""

import json
import os
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

SEEN = {"requests": 0, "first_s": None, "texts": []}
LOCK = threading.Lock()
SECONDS = {"fast": 0.005, "slow": 0.02}


def variant(name, size, accuracy, state="ready"):
    around = {"value": accuracy, "low": accuracy - 0.02, "high": accuracy + 0.02}
    return {
        "variant": name, "version": "0" * 12, "precision": "int8", "parameters": size // 4,
        "bytes": size, "state": state, "engine": "none",
        "evaluations": {"test": {"accuracy": around}},
    }  # fmt: skip


FAMILY = {
    "model": "tone",
    "default_variant": "fast",
    "cascade": None,
    "variants": [
        variant("fast", 4_000_000, 0.82),
        variant("slow", 16_000_000, 0.87),
        variant("torn", 64_000_000, 0.9, state="failed"),
    ],
}


class Answers(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = 65536  # one packet an answer, or Nagle's algorithm waits 40 ms

    def log_message(self, *_):
        pass

    def reply(self, status, body, **headers):
        data = json.dumps(body).encode()
        self.send_response(status)
        for name, value in (("Content-Length", str(len(data))), *headers.items()):
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(data)

    def do_GET(self):
        answers = {
            "/health/ready": {"status": "ready"}, "/v1/models": {"models": [FAMILY]}, "/seen": SEEN,
        }  # fmt: skip
        if self.path in answers:
            self.reply(200, answers[self.path])
        else:
            self.reply(404, {"code": "not_found", "detail": f"{self.path} does not exist"})

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        now_s = time.monotonic()
        with LOCK:
            SEEN["requests"] += 1
            SEEN["texts"] += body["texts"]
            SEEN["first_s"] = SEEN["first_s"] or now_s
            number = SEEN["requests"]
        name = body["variant"]
        if name == "hangs up":
            self.close_connection = True
            time.sleep(0.01)
            return
        if name == "refuses" and number % 4 == 0:
            self.reply(429, {"code": "overloaded"})
            return
        resume_s = SEEN["first_s"] + 2.0
        if name == "stalls" and SEEN["first_s"] + 1.0 <= now_s < resume_s:
            time.sleep(resume_s - now_s)
        time.sleep(SECONDS.get(name, 0.002))
        results = [
            {"variant": "slow" if name == "auto" else name, "degraded": False}
            for _ in body["texts"]
        ]
        if name == "auto" and body["allow_degraded"] and number % 2:
            results[0] = {"variant": "fast", "degraded": True}
        timing = {"Server-Timing": "tokenize;dur=0.25, queue;dur=0.5, engine;dur=1.5"}
        self.reply(200, {"model": "tone", "results": results}, **timing)


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128


if __name__ == "__main__":
    if os.environ.get("STAND_IN_FAILS"):
        sys.exit("SIZEWISE_REGISTRY: no such folder")
    Server(("127.0.0.1", int(os.environ["SIZEWISE_PORT"])), Answers).serve_forever()
