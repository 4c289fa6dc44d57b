"""A real Envoy between a client and a stand-in for a language model, with the configuration that
the docs keep."""

import contextlib
import json
import subprocess
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx
import yaml

from tests.support.clients import PYTHON
from tests.support.processes import ROOT, free_port, wait_until_accepting

CONFIG = ROOT / "docs" / "guides" / "guardrails" / "envoy.yaml"
ENVOY = PYTHON.with_name("envoy")
CHAT = "/v1/chat/completions"


@dataclass
class Gateway:
    """`reached` are (headers, body) of the requests that have reached the model."""

    url: str
    reached: list = field(default_factory=list)

    def chat(self, *texts, **more):
        messages = [{"role": "user", "content": text} for text in texts]
        return self.post(json.dumps({"model": "m", "messages": messages}), **more)

    def post(self, content, **headers):
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return httpx.post(
            self.url + CHAT,
            content=content,
            headers={"Content-Type": "application/json"} | named,
            timeout=30,
        )


def _model(reached):
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
            answer = b'{"choices":[]}'
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *_args):
            pass

    return Model


@contextlib.contextmanager
def gateway(folder, grpc_port, **options):
    """An Envoy whose external processor has these `options`, over those of the kept file."""
    assert ENVOY.exists(), "run `make test`: it installs Envoy beside the client libraries"
    port = free_port()
    reached = []
    model = ThreadingHTTPServer(("127.0.0.1", 0), _model(reached))
    threading.Thread(target=model.serve_forever, daemon=True).start()
    config = yaml.safe_load(CONFIG.read_text())
    resources = config["static_resources"]
    (listener,) = resources["listeners"]
    listener["address"]["socket_address"]["port_value"] = port
    (chain,) = listener["filter_chains"]
    processor = chain["filters"][0]["typed_config"]["http_filters"][0]["typed_config"]
    processor["processing_mode"] |= options.pop("processing_mode", {})
    processor |= options
    ports = {"llm": model.server_port, "sizewise": grpc_port}
    for cluster in resources["clusters"]:
        (locality,) = cluster["load_assignment"]["endpoints"]
        (endpoint,) = locality["lb_endpoints"]
        address = endpoint["endpoint"]["address"]["socket_address"]
        address |= {"address": "127.0.0.1", "port_value": ports[cluster["name"]]}
    path = folder / f"envoy-{port}.yaml"
    path.write_text(yaml.safe_dump(config))
    log = path.with_suffix(".log").open("w")
    process = subprocess.Popen(
        [
            ENVOY,
            "-c",
            path,
            "--concurrency",
            "1",
            "--disable-hot-restart",
            "--log-level",
            "warning",
        ],
        stdout=log,
        stderr=log,
    )
    try:
        wait_until_accepting(port)
        yield Gateway(f"http://127.0.0.1:{port}", reached)
    finally:
        process.terminate()
        process.wait(30)
        model.shutdown()
        model.server_close()
        log.close()
