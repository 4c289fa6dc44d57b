"""What is wrong at the start, and files and neighbours of a running server that break."""

import json
import socket
import time
from concurrent.futures import ThreadPoolExecutor

import httpx

from tests.benchmarks.faults.outcome import (
    NOTHING_LOST,
    STAYS_LIVE,
    STAYS_READY,
    answered,
    ends,
    logs,
    recovers,
)
from tests.benchmarks.faults.scene import fault
from tests.support.bundles import write_bundle
from tests.support.processes import free_port

UNTOUCHED = (answered(), recovers(0.5), STAYS_LIVE, STAYS_READY)
PAIR = {"http_processes": 2}
CANNOT_START = ends(2, 30, ", saying why")


def taken(setting):
    def prepare(_place):
        kept = socket.create_server(("127.0.0.1", 0))
        return {setting: kept.getsockname()[1], "kept": kept}

    return prepare


def says_why(name, *words, **how):
    """A server that cannot start."""

    def register(break_it):
        def inject(scene):
            scene.until_ended()
            last = (scene.server.log().splitlines() or [""])[-1]
            scene.require(all(word in last for word in words), f"its last line says why: {last}")
            scene.notes.append(last[:160])

        inject.__module__ = __name__
        fault(name, CANNOT_START, start=True, ends=True, prepare=break_it, **how)(inject)
        return break_it

    return register


says_why("the port is taken", "SIZEWISE_PORT")(taken("port"))
says_why("the port is taken, HTTP processes", "SIZEWISE_PORT", **PAIR)(taken("port"))
says_why("gRPC's port is taken", "SIZEWISE_GRPC_PORT")(taken("grpc_port"))
says_why("gRPC's port is taken, HTTP processes", "SIZEWISE_GRPC_PORT", **PAIR)(taken("grpc_port"))
ADMIN = {"admin_key": "a long enough key"}
says_why("the admin port is taken", "SIZEWISE_ADMIN_PORT", **ADMIN)(taken("admin_port"))
says_why("the admin port is taken, HTTP processes", "SIZEWISE_ADMIN_PORT", **ADMIN, **PAIR)(
    taken("admin_port")
)


@says_why("every bundle is corrupt at the start", "model.onnx")
@says_why("every bundle is corrupt at the start, HTTP processes", "model.onnx", **PAIR)
def corrupt(place):
    for model in (place / "registry").rglob("model.onnx"):
        model.write_bytes(b"not a graph")
    return {}


@says_why("64 descriptors", "limit of file descriptors is 64")
@says_why("64 descriptors, HTTP processes", "limit of file descriptors is 64", **PAIR)
def few_descriptors(_place):
    return {"prefix": ("prlimit", "--nofile=64")}


@says_why("there is no registry at the start", "SIZEWISE_REGISTRY")
def no_registry(place):
    (place / "registry").rename(place / "elsewhere")
    return {}


def one_family_corrupt(place):
    write_bundle(place / "registry" / "mood" / "tiny", family="mood")
    (place / "registry" / "mood" / "tiny" / "model.onnx").write_bytes(b"not a graph")
    return {}


@fault(
    "a family's only bundle is corrupt at the start",
    STAYS_LIVE,
    logs("not ready"),
    start=True,
    prepare=one_family_corrupt,
)
def one_family(scene):
    scene.until_logged("not ready")
    said = scene.get("/health/ready")
    scene.require(said.status_code == 503, "unready")
    scene.require("mood" in said.text, f"the reason names it: {said.text}")
    answer = scene.server.classify({"texts": ["good film"], "model": "tone"}).status_code
    scene.notes.append(f"the other family answers {answer}")


def callers_file(place):
    path = place / "callers.json"
    path.write_text("{}")
    return {"callers": path, "api_key": KEY}


KEY = "an API key of the test"


def _callers(scene, change, event):
    scene.injected()
    change(scene.place / "callers.json")
    scene.until_logged(event)
    headers = {"Authorization": f"Bearer {KEY}"}
    status = scene.server.classify({"texts": ["good film"]}, headers=headers).status_code
    scene.require(status == 200, f"a caller is still known: {status}")
    scene.watch(1)


@fault("callers' file broken", answered(401), STAYS_LIVE, STAYS_READY, prepare=callers_file)
def callers_broken(scene):
    _callers(scene, lambda path: path.write_text('{"'), "callers not reloaded")


@fault("callers' file removed", answered(401), STAYS_LIVE, STAYS_READY, prepare=callers_file)
def callers_removed(scene):
    _callers(scene, lambda path: path.unlink(), "callers not reloaded")


def collector_gone(_place):
    return {"trace_endpoint": f"http://127.0.0.1:{free_port()}"}


def collector_silent(_place):
    kept = socket.create_server(("127.0.0.1", 0), backlog=64)
    return {"trace_endpoint": f"http://127.0.0.1:{kept.getsockname()[1]}", "kept": kept}


@fault("traces' collector refuses", *UNTOUCHED, prepare=collector_gone)
@fault("traces' collector refuses, HTTP processes", *UNTOUCHED, prepare=collector_gone, **PAIR)
@fault("traces' collector does not answer", *UNTOUCHED, prepare=collector_silent)
def traces(scene):
    scene.injected()
    scene.watch(3)


def _large_bodies(scene):
    """Clients whose bodies are large, some of which come in two parts around SIGTERM."""
    body = json.dumps({"texts": ["good film " * 15] * 256}).encode()
    begun = []

    def parts(pause_s):
        yield body[:100]
        begun.append(pause_s)
        time.sleep(pause_s)
        yield body[100:]

    def ask(number):
        content = parts(0.1 * number)
        fields = {"Content-Type": "application/json", "Content-Length": str(len(body))}
        url = f"{scene.server.url}/v1/classify"
        try:
            return httpx.post(url, content=content, headers=fields, timeout=20).status_code
        except httpx.TransportError as error:
            return type(error).__name__

    with ThreadPoolExecutor(8) as pool:
        asked = [pool.submit(ask, number) for number in range(8)]
        scene.until(lambda: len(begun) == 8, "all clients have begun to send")
        scene.kill(scene.pid, sig=15)
        statuses = [each.result() for each in asked]
    scene.require(set(statuses) <= {200}, f"large bodies are answered: {statuses}")
    scene.until_ended()


fault("SIGTERM while large bodies come", NOTHING_LOST, ends(0, 15), ends=True)(_large_bodies)
fault(
    "SIGTERM while large bodies come, HTTP processes", NOTHING_LOST, ends(0, 15), ends=True, **PAIR
)(_large_bodies)
