"""A store that is lost while `fetch --every-s` follows it beside the server."""

import contextlib
import shutil
import subprocess
import sys
import time

from tests.benchmarks.faults.outcome import STAYS_LIVE, STAYS_READY, answered, recovers
from tests.benchmarks.faults.scene import fault
from tests.support.bundles import write_bundle
from tests.support.hostile_store import hostile_store
from tests.support.processes import ROOT, clean_environ

UNTOUCHED = (answered(), recovers(0.5), STAYS_LIVE, STAYS_READY)
EVERY_S = 1


@contextlib.contextmanager
def followed(scene):
    """(the store, its copy of the family, the log of fetch)"""
    shutil.copytree(scene.family, scene.place / "store" / "tone")
    log_path = scene.place / "fetch.log"
    with hostile_store(scene.place / "store") as store, log_path.open("w") as log:
        command = [sys.executable, "-m", "serving", "fetch", f"{store.url}/tone"]
        command += ["--to", str(scene.family), "--every-s", str(EVERY_S)]
        process = subprocess.Popen(command, cwd=ROOT, env=clean_environ(), stdout=log, stderr=log)
        try:
            scene.until(lambda: len(store.asked) > 3, "fetch asks the store")
            yield store, log_path
            scene.require(process.poll() is None, "fetch goes on")
        finally:
            process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(30)
            scene.require(process.poll() is not None, "SIGTERM ends fetch")
            process.kill()


def _newer(scene):
    folder = scene.place / "store" / "tone" / "tiny"
    shutil.rmtree(folder)
    return write_bundle(folder, variant="tiny", scale=1.5, accuracy=0.85).version


def _failed(log_path):
    return "fetch failed" in log_path.read_text()


@fault("the store answers 500", *UNTOUCHED)
def store_fails(scene):
    with followed(scene) as (store, log_path):
        usual = store.answer
        scene.injected()
        store.answer = lambda request: request.send_error(500)
        version = _newer(scene)
        scene.until(lambda: _failed(log_path), "fetch says that it failed")
        store.answer = usual
        scene.healed()
        scene.until_served(version)


@fault("the store resets connections", *UNTOUCHED)
def store_resets(scene):
    with followed(scene) as (store, log_path):
        usual = store.answer
        scene.injected()
        store.answer = lambda request: request.connection.close()
        version = _newer(scene)
        scene.until(lambda: _failed(log_path), "fetch says that it failed")
        store.answer = usual
        scene.healed()
        scene.until_served(version)


@fault("the store ends in the middle of a file", *UNTOUCHED)
def store_cuts(scene):
    with followed(scene) as (store, log_path):

        def half(request):
            content = (scene.place / "store" / "tone" / "tiny" / "model.onnx").read_bytes()
            request.send_response(200)
            request.send_header("Content-Length", str(len(content)))
            request.end_headers()
            request.wfile.write(content[: len(content) // 2])
            request.close_connection = True

        scene.injected()
        store.answers["tone/tiny/model.onnx"] = half
        version = _newer(scene)
        scene.until(lambda: _failed(log_path), "fetch says that it failed")
        store.answers.clear()
        scene.healed()
        scene.until_served(version)


@fault("the store stalls in the middle of a file", *UNTOUCHED)
def store_stalls(scene):
    with followed(scene) as (store, _):
        asked = []

        def stall(request):
            request.send_response(200)
            request.send_header("Content-Length", "1000")
            request.end_headers()
            request.wfile.write(b"x")
            request.wfile.flush()
            asked.append(request)
            until_s = time.monotonic() + 5
            while store.answers and time.monotonic() < until_s:
                time.sleep(0.05)

        scene.injected()
        store.answers["tone/tiny/model.onnx"] = stall
        version = _newer(scene)
        scene.until(lambda: asked, "fetch reads the file")
        scene.watch(2)
        store.answers.clear()
        scene.healed()
        scene.until_served(version)
