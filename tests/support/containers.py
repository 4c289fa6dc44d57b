"""Images built with buildah and run with podman, for the tests."""

import contextlib
import json
import os
import re
import subprocess
import tempfile
import time
import uuid
from dataclasses import dataclass
from pathlib import Path

import httpx

from tests.support.processes import ROOT, free_port

BASE = "docker.io/library/python:3.13-slim"
# runc, because crun needs rights that a container in a container has not; files, because there
# may be no systemd.
CONFIGURATION = """
[containers]
default_ulimits = ["nofile=20000:20000", "nproc=32768:32768"]
log_driver = "k8s-file"
[engine]
runtime = "runc"
cgroup_manager = "cgroupfs"
events_logger = "file"
"""
# The machine's own package index and certificates, where it has them.
HOST_FILES = ("/etc/pip.conf", "/etc/ssl/certs/ca-certificates.crt")
HARDENED = (
    "--read-only", "--read-only-tmpfs=false", "--tmpfs=/tmp", "--cap-drop=ALL",
    "--security-opt=no-new-privileges", "--user=10001:10001",
)  # fmt: skip


def build(target, *arguments):
    """The name of the image of a target of the Dockerfile, built with such as `TEXT_LOG=1`."""
    if not run("buildah", "images", "--quiet", "--filter", f"reference={BASE}"):
        run("bash", str(ROOT / "tests" / "support" / "base_image.sh"), BASE)
    names = [
        *([] if target == "cpu" else [target]),
        *(each.partition("=")[0].lower() for each in arguments),
    ]
    tag = "-".join(["localhost/sizewise:test", *names])
    mounts = [f"--volume={file}:{file}:ro" for file in HOST_FILES if Path(file).exists()]
    options = ["--pull-never", "--isolation=chroot", "--network=host", "--format=docker"]
    options += [f"--build-arg={each}" for each in (f"BASE={BASE}", *arguments)]
    run("buildah", "bud", "--layers", *options, *mounts, f"--target={target}", f"--tag={tag}", ROOT)
    return tag


def compressed_bytes(image):
    """What a pull of the image transfers: its layers, compressed."""
    with tempfile.TemporaryDirectory() as folder:
        run("buildah", "push", "--quiet", image, f"oci:{folder}")
        blobs = Path(folder) / "blobs" / "sha256"
        index = json.loads((Path(folder) / "index.json").read_text())
        digest = index["manifests"][0]["digest"].removeprefix("sha256:")
        layers = json.loads((blobs / digest).read_text())["layers"]
    return sum(layer["size"] for layer in layers)


@dataclass
class Container:
    name: str
    url: str
    client: httpx.Client

    def classify(self, body):
        return self.client.post("/v1/classify", json=body)

    def metrics(self):
        return self.client.get("/metrics").text

    def execute(self, *command):
        return podman("exec", self.name, *command)

    def inspect(self, field):
        return podman("inspect", "--format", f"{{{{.{field}}}}}", self.name)

    def peak_memory_bytes(self):
        """Of the server's process; the cgroup's peak also counts file cache that can be dropped."""
        (peak_kib,) = re.findall(r"VmHWM:\s+(\d+) kB", self.execute("cat", "/proc/1/status"))
        return int(peak_kib) * 1024

    def log(self):
        return podman("logs", self.name)

    def stop(self):
        """The exit status after SIGTERM."""
        podman("stop", "--time=30", self.name)
        return int(self.inspect("State.ExitCode"))


@contextlib.contextmanager
def container(image, *options, **settings):
    """A hardened container of a server's image; `settings` are SIZEWISE_ names in lower case."""
    name, port = f"sizewise-{uuid.uuid4().hex[:8]}", free_port()
    given = [f"--env=SIZEWISE_{k.upper()}={v}" for k, v in ({"port": port} | settings).items()]
    podman(
        "run", "--detach", f"--name={name}", "--network=host", *HARDENED, *given, *options, image
    )  # fmt: skip
    url = f"http://127.0.0.1:{port}"
    running = Container(name, url, httpx.Client(base_url=url, timeout=60))
    try:
        _wait_until_ready(running)
        yield running
    except Exception as error:
        error.add_note(running.log()[-4000:])
        raise
    finally:
        running.client.close()
        podman("rm", "--force", "--time=0", name)


def output(image, *command, options=()):
    """What a command says that a hardened container runs to its end."""
    return podman("run", "--rm", "--network=host", *HARDENED, *options, image, *command)


def podman(*command):
    with tempfile.NamedTemporaryFile("w", suffix=".conf") as configuration:
        configuration.write(CONFIGURATION)
        configuration.flush()
        return run("podman", *command, environ={"CONTAINERS_CONF": configuration.name})


def run(*command, environ=()):
    """The stripped output of a command that must succeed."""
    done = subprocess.run(
        list(map(str, command)),
        cwd=tempfile.gettempdir(),  # where conmon leaves a file when a container lacks memory
        env=os.environ | dict(environ),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, f"{command}\n{done.stdout[-4000:]}\n{done.stderr[-4000:]}"
    return done.stdout.strip()


def _wait_until_ready(running, seconds=60):
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline and running.inspect("State.Running") == "true":
        with contextlib.suppress(httpx.TransportError):
            # Another server on this port would answer before the container says that it cannot.
            ready = running.client.get("/health/ready").status_code == 200
            if ready and '"event":"ready"' in running.log():
                return
        time.sleep(0.1)
    raise AssertionError(f"the container did not become ready:\n{running.log()}")
