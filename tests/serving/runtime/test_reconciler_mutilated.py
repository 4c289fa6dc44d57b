"""Bundles that are broken in every way that we know, beside traffic to a real server."""

import json
import os
import random
import threading
import time
from collections import Counter

import httpx
import pytest

from serving.bundles.registry import publish
from tests.support.bundles import write_bundle, write_registry
from tests.support.mutilated.cases import CASES, FOR_OPENVINO, sign, write
from tests.support.processes import serving
from tests.support.registries import models, wait_for

# Loops are ended after a second of CPU time.
LIMITS = {"engine_timeout_ms": 1000, "load_timeout_ms": 20_000, "scan_ms": 100}
SEED = 19
FLIPPED = 24


@pytest.fixture
def registry(tmp_path):
    return write_registry(tmp_path / "registry", tmp_path)


class Clients:
    """Ask the good model without a pause until told to stop; the statuses that came back."""

    def __init__(self, server):
        self.statuses = Counter()
        self._server = server
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._run) for _ in range(2)]

    def _run(self):
        with httpx.Client(base_url=self._server.url, timeout=30) as client:
            while not self._stop.is_set():
                asked = {"model": "tone", "texts": ["good"]}
                self.statuses[client.post("/v1/classify", json=asked).status_code] += 1
                time.sleep(0.01)  # leaves the cores to the trials

    def __enter__(self):
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self._stop.set()
        for thread in self._threads:
            thread.join()


def refused(server):
    return models(server)["refused"]


def served(server):
    return [family["model"] for family in models(server)["models"]]


@pytest.mark.parametrize(
    ("engine", "http_processes", "at_once"),
    [("onnxruntime", 0, False), ("openvino", 1, True), ("auto", 0, True)],
)
def test_each_mutilated_bundle_is_refused_with_its_reason_and_no_other_request_fails(
    registry, tmp_path, engine, http_processes, at_once
):
    cases = [name for name in CASES if engine != "openvino" or name not in FOR_OPENVINO]
    assert len(cases) >= 40
    if not at_once:
        cases = cases[::3]  # each waits for two scans
    settings = {"engine": engine, "http_processes": http_processes, **LIMITS}
    with serving(registry, **settings) as server:
        with Clients(server) as clients:
            for name in cases:
                write(name, tmp_path / "made").parent.rename(registry / name)
                if not at_once:
                    wait_for(lambda name=name: str(registry / name / "tiny") in refused(server), 60)
            wait_for(lambda: len(refused(server)) == len(cases), 200)
            found = refused(server)
            still_served = served(server)
        status = server.stop()

    assert set(found) == {str(registry / name / "tiny") for name in cases}
    assert all(found.values())
    assert still_served == ["tone"]
    assert set(clients.statuses) == {200}
    assert status == 0


def flipped(folder, chosen):
    """A copy of the good bundle in which some bits of a file are not what they were."""
    write_bundle(folder, family=folder.parent.name, max_length=64)
    path = folder / chosen.choice(["model.onnx", "tokenizer.json", "manifest.json"])
    content = bytearray(path.read_bytes())
    for _ in range(chosen.choice([1, 3, 20])):
        content[chosen.randrange(len(content))] ^= 1 << chosen.randrange(8)
    path.write_bytes(content)
    if path.name != "manifest.json":
        sign(folder)


def test_the_server_outlives_bundles_with_random_bits(registry, tmp_path):
    chosen = random.Random(SEED)
    names = [f"flipped{number}" for number in range(FLIPPED)]
    with serving(registry, engine="auto", **LIMITS) as server:
        with Clients(server) as clients:
            for name in names:
                flipped(tmp_path / "made" / name / "tiny", chosen)
                (tmp_path / "made" / name).rename(registry / name)
            last = tmp_path / "last"
            write_bundle(last, family="last")
            publish(last, registry)
            wait_for(lambda: "last" in served(server), 200)
            found = models(server)
        status = server.stop()

    # Each is either refused or, where the bits do not matter, served.
    listed = [family["model"] for family in found["models"]]
    assert len(listed) + len(found["refused"]) == len(names) + 2
    assert set(clients.statuses) == {200}
    assert status == 0
    assert json.dumps(found)


def test_a_family_whose_folder_cannot_be_read_any_more_stays_in_service(registry, tmp_path):
    with serving(registry, **LIMITS) as server:
        (registry / "tone").rename(tmp_path / "away")
        (registry / "tone").symlink_to(registry / "tone")
        wait_for(lambda: refused(server))
        found = refused(server)
        answered = server.classify({"texts": ["good"]}).status_code

    assert list(found) == [str(registry / "tone")]
    assert "Too many levels of symbolic links" in found[str(registry / "tone")]
    assert answered == 200


def test_a_name_that_is_not_utf8_is_refused_and_listed(registry):
    (registry / os.fsdecode(b"\xff\xfe") / "x").mkdir(parents=True)
    with serving(registry, **LIMITS) as server:
        (path,) = refused(server)

    assert path.startswith(str(registry))
    assert path.endswith("/??/x")
