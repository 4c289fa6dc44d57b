"""A real Envoy between a client and a stand-in for a language model, as the docs configure it."""

import contextlib
import json
import subprocess
from dataclasses import dataclass

import httpx
import yaml

from tests.support.clients import PYTHON
from tests.support.language_model import language_model
from tests.support.processes import ROOT, free_port, wait_until_accepting

CONFIG = ROOT / "docs" / "guides" / "guardrails" / "envoy.yaml"
ENVOY = PYTHON.with_name("envoy")
CHAT = "/v1/chat/completions"
QUIET = ("--concurrency", "1", "--disable-hot-restart", "--log-level", "warning")


@dataclass
class Gateway:
    """`reached` are (headers, body) of the requests that have reached the model."""

    url: str
    reached: list

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


@contextlib.contextmanager
def gateway(folder, grpc_port, **options):
    """An Envoy whose external processor has these `options`, over those of the kept file."""
    assert ENVOY.exists(), "run `make test`: it installs Envoy beside the client libraries"
    port, reached = free_port(), []
    config, log = folder / f"envoy-{port}.yaml", folder / f"envoy-{port}.log"
    with language_model(reached) as model_port, log.open("w") as output:
        ports = {"sizewise": grpc_port, "llm": model_port}
        config.write_text(yaml.safe_dump(configured(port, ports, options)))
        process = subprocess.Popen([ENVOY, "-c", config, *QUIET], stdout=output, stderr=output)
        try:
            wait_until_accepting(port)
            yield Gateway(f"http://127.0.0.1:{port}", reached)
        finally:
            process.terminate()
            process.wait(30)


def configured(port, ports, options):
    """The kept configuration with these ports, of the listener and of the clusters."""
    config = yaml.safe_load(CONFIG.read_text())
    resources = config["static_resources"]
    (listener,) = resources["listeners"]
    listener["address"]["socket_address"] = {"address": "127.0.0.1", "port_value": port}
    (chain,) = listener["filter_chains"]
    processor = chain["filters"][0]["typed_config"]["http_filters"][0]["typed_config"]
    modes = processor["processing_mode"] | options.get("processing_mode", {})
    # A busy machine misses the usual time-out.
    processor |= {"message_timeout": "30s"} | options | {"processing_mode": modes}
    for cluster in resources["clusters"]:
        (locality,) = cluster["load_assignment"]["endpoints"]
        (endpoint,) = locality["lb_endpoints"]
        endpoint["endpoint"]["address"]["socket_address"] = {
            "address": "127.0.0.1",
            "port_value": ports[cluster["name"]],
        }
    return config
