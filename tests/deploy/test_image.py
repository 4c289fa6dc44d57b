"""The container image: what the Dockerfile says, and what it makes, built and run for real."""

import json
import os
import re
import subprocess
import sys
import time
import tomllib
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path

import pytest

from loadtest.samples import Phase
from tests.support.containers import build, compressed_bytes, container, output, podman
from tests.support.processes import ROOT

pytestmark = pytest.mark.timeout(1200)

DOCKERFILE = (ROOT / "Dockerfile").read_text()
STAGES = dict(re.findall(r"^FROM \S+ AS (\S+)\n((?:(?!FROM ).*\n)*)", DOCKERFILE, re.MULTILINE))
FROM = re.findall(r"^FROM (\S+) AS (\S+)$", DOCKERFILE, re.MULTILINE)
PARENTS = {name: parent for parent, name in FROM}
TARGETS = ["fetch", "loadtest", "gpu", "cpu"]
TEXTS = ["An absolute delight from start to finish.", "Dull, clumsy and far too long."]
MAX_BYTES = 550_000_000
MAX_COMPRESSED_BYTES = 230_000_000
POD_MEMORY_BYTES = 256 * 2**20
POD_REQUESTS = 600
POD_LEAST_TEXTS_PER_SECOND = 40
HOW_TO_RUN = (
    "the image is built and run only on request, which takes root and minutes: "
    "apt-get install --yes buildah podman runc catatonit mmdebstrap && "
    "SIZEWISE_IMAGE_TESTS=1 .venv-dev/bin/python -m pytest tests/deploy/test_image.py"
)
INSTALLED = """
import importlib.metadata, json
print(json.dumps([[d.name, d.version] for d in importlib.metadata.distributions()]))
"""
FORBIDDEN = """
import importlib.util, shutil
modules = ["torch", "transformers", "pip", "setuptools", "cyclonedx"]
programs = ["gcc", "g++", "cc", "c++", "clang", "ld", "make", "curl"]
print(*filter(importlib.util.find_spec, modules), *filter(shutil.which, programs))
"""


def built(target, *arguments):
    if os.environ.get("SIZEWISE_IMAGE_TESTS") != "1":
        pytest.skip(HOW_TO_RUN)
    return build(target, *arguments)


@pytest.fixture(scope="module")
def image():
    return built("cpu")


def lineage(stage):
    while stage in STAGES:
        yield stage
        stage = PARENTS[stage]
    yield stage


def test_hadolint_finds_nothing():
    hadolint = Path(sys.executable).with_name("hadolint")

    command = [hadolint, ROOT / "Dockerfile"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)

    assert (done.returncode, done.stdout) == (0, "")


def test_every_way_to_run_it_is_a_target_and_a_plain_build_makes_the_cpus():
    assert set(TARGETS) <= set(STAGES)
    assert list(STAGES)[-1] == "cpu"


def test_every_target_stands_on_the_one_pinned_base():
    (base,) = re.findall(r"^ARG BASE=(\S+)$", DOCKERFILE, re.MULTILINE)

    assert re.fullmatch(r"python:3\.\d+-slim@sha256:[0-9a-f]{64}", base)
    assert {list(lineage(stage))[-1] for stage in STAGES} == {"${BASE}"}


@pytest.mark.parametrize("target", TARGETS)
def test_every_target_runs_as_a_fixed_user_that_is_not_root(target):
    instructions = "".join(STAGES.get(stage, "") for stage in lineage(target))

    assert re.findall(r"^USER (.*)$", instructions, re.MULTILINE) == ["10001:10001"]


def test_every_installed_version_is_a_locked_one():
    installs = re.findall(r"pip(?: --python \S+)? install (.*)", DOCKERFILE)

    assert len(installs) == 10
    for install in installs:
        assert "--require-hashes" in install or "--no-deps" in install, install


def test_the_label_names_the_packages_version():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]

    assert f"ARG VERSION={project['version']}\n" in STAGES["runtime"]


def test_the_image_is_small(image):
    unpacked = int(podman("image", "inspect", "--format={{.Size}}", image))
    compressed = compressed_bytes(image)
    print(f"unpacked {unpacked / 1e6:.0f} MB, compressed {compressed / 1e6:.0f} MB")

    assert unpacked <= MAX_BYTES
    assert compressed <= MAX_COMPRESSED_BYTES


def test_the_image_holds_no_torch_no_compiler_and_no_installer(image):
    assert output(image, "python", "-c", FORBIDDEN) == ""


def test_the_bill_of_materials_names_every_installed_distribution(image):
    bill = json.loads(output(image, "cat", "/opt/sizewise/sbom.cdx.json"))
    installed = json.loads(output(image, "python", "-c", INSTALLED))

    assert bill["bomFormat"] == "CycloneDX"
    named = [bill["metadata"]["component"], *bill["components"]]
    assert {(part["name"], part["version"]) for part in named} == set(map(tuple, installed))
    assert {"onnxruntime", "openvino", "sizewise"} <= {part["name"] for part in named}


def test_it_serves_the_shipped_family_as_a_user_without_rights_on_a_read_only_root(image):
    before_s = time.monotonic()
    with container(image) as server:
        print(f"ready after {time.monotonic() - before_s:.1f} s")
        results = server.classify({"texts": TEXTS}).json()["results"]

        assert [result["label"] for result in results] == ["positive", "negative"]
        assert server.execute("id", "-u") == "10001"
        podman("healthcheck", "run", server.name)


@pytest.mark.parametrize("engine", ["onnxruntime", "openvino"])
def test_each_engine_answers_after_what_it_does_not_need_is_left_out(image, tiny_registry, engine):
    with container(image, f"--volume={tiny_registry}:/models:ro", engine=engine) as server:
        results = server.classify({"texts": ["good film", "awful plot"]}).json()["results"]

        assert [result["label"] for result in results] == ["positive", "negative"]
        assert f'engine="{engine}"' in server.metrics()


def test_an_image_on_request_writes_the_text_log_and_the_plain_one_cannot(image):
    needed = (
        "import fsspec, pyarrow.parquet, cryptography.fernet; fsspec.get_filesystem_class('s3')"
    )
    found = "import importlib.util; print(importlib.util.find_spec('pyarrow'))"

    output(built("cpu", "TEXT_LOG=1"), "python", "-c", needed)

    assert output(image, "python", "-c", found) == "None"


def test_on_sigterm_it_answers_what_it_has_accepted_and_exits_with_0(image):
    body = {"texts": TEXTS * 100, "variant": "medium-int8"}
    with container(image) as server, ThreadPoolExecutor() as client:
        answer = client.submit(server.classify, body)
        while "sizewise_requests_in_flight 1.0" not in server.metrics():
            assert not answer.done(), "the request was too short to be in flight"

        assert server.stop() == 0
        assert answer.result().status_code == 200
        assert len(answer.result().json()["results"]) == 200


def test_half_a_core_and_256_mb_serve_the_small_variant(image):
    limits = ["--cpus=0.5", f"--memory={POD_MEMORY_BYTES}", f"--memory-swap={POD_MEMORY_BYTES}"]
    with container(image, *limits, variants="small-int8") as server:
        with ThreadPoolExecutor(8) as clients:
            before_s = time.monotonic()
            texts = [{"texts": [f"{TEXTS[n % 2]} Number {n}."]} for n in range(POD_REQUESTS)]
            statuses = {answer.status_code for answer in clients.map(server.classify, texts)}
        rate = POD_REQUESTS / (time.monotonic() - before_s)
        body = {"texts": ["word " * 700] * 256, "truncate": True, "deadline_ms": 60_000}
        largest = server.classify(body)
        peak_bytes = server.peak_memory_bytes()
        print(f"{rate:.0f} texts/s, at most {peak_bytes / 1e6:.0f} MB")

        assert statuses == {200}
        assert largest.status_code == 200
        assert rate >= POD_LEAST_TEXTS_PER_SECOND
        assert peak_bytes < POD_MEMORY_BYTES
        assert '"slots":1,' in server.log()
        assert server.stop() == 0, "killed: 137 is the kernel's, for want of memory"


def test_the_fetch_image_brings_a_family_and_knows_every_object_storage(tiny_registry, tmp_path):
    image, models = built("fetch"), tmp_path / "models"
    models.mkdir()
    models.chmod(0o777)
    folders = (f"--volume={tiny_registry}:/from:ro", f"--volume={models}:/models")
    storages = "import fsspec; [fsspec.get_filesystem_class(p) for p in ('s3', 'gs', 'abfs')]"

    command = ["python", "-m", "serving", "fetch", "file:///from/tone", "--to", "/models/tone"]
    output(image, *command, options=folders)

    assert (models / "tone" / "wide" / "model.onnx").is_file()
    output(image, "python", "-c", storages)


def test_the_loadtest_image_drives_a_server_from_a_read_only_root(image):
    loadtest = built("loadtest")
    phase = Phase(
        model="sentiment", variant="small-int8", load="closed", round=0, kind="closed", users=2,
        arrivals="poisson", rate_rps=0.0, trace=None, texts_per_request=1, deadline_ms=None,
        warmup_s=0.0, measured_s=2.0, seed=0,
    )  # fmt: skip
    with container(image) as server:
        locust = [
            "locust",
            "--locustfile=loadtest/measure/locustfile.py",
            "--headless",
            "--users=2",
        ]
        drive = [*locust, f"--host={server.url}", f"--phase={json.dumps(asdict(phase))}"]
        output(loadtest, *drive, "ClosedUser")
        answered = re.search(r"sizewise_texts_total\{.*small-int8.*\} (\S+)", server.metrics())

        assert float(answered.group(1)) >= 20
