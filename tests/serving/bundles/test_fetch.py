"""`python -m serving fetch`, as the init container runs it, from folders and from real S3 calls."""

import contextlib
import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass

import boto3
import pytest
from moto.server import ThreadedMotoServer

from serving.bundles.registry import publish, read_registry
from tests.support.bundles import write_bundle
from tests.support.cascades import write_cascade
from tests.support.processes import ROOT, free_port, serving
from tests.support.registries import tiny, wait_for


def command(*arguments):
    return [sys.executable, "-m", "serving", "fetch", *map(str, arguments)]


def fetch(*arguments, **environ):
    return subprocess.run(
        command(*arguments), cwd=ROOT, env=os.environ | environ, capture_output=True, text=True,
        check=False, timeout=60,
    )  # fmt: skip


@contextlib.contextmanager
def watching(log_path, *arguments, **environ):
    """`fetch` once a second, until SIGTERM, which it must obey."""
    with log_path.open("w") as log:
        process = subprocess.Popen(
            command(*arguments, "--every-s", "1"), cwd=ROOT, env=os.environ | environ,
            stdout=log, stderr=log,
        )  # fmt: skip
        try:
            yield
        finally:
            process.terminate()
            status = process.wait(10)
    assert status == 0, log_path.read_text()


def versions(registry):
    return {b.manifest.variant: b.manifest.version for b in read_registry(registry)["tone"]}


@pytest.fixture
def remote(tmp_path, tiny_registry):
    """A copy that a test may spoil."""
    return shutil.copytree(tiny_registry / "tone", tmp_path / "remote" / "tone")


def test_a_family_is_fetched_whole_or_by_variant(tmp_path, tiny_registry, remote):
    whole = fetch(remote.as_uri(), "--to", tmp_path / "all" / "tone")
    one = fetch(remote.as_uri(), "--to", tmp_path / "one" / "tone", "--variants", "tiny")

    assert (whole.returncode, one.returncode) == (0, 0), whole.stderr + one.stderr
    assert versions(tmp_path / "all") == versions(tiny_registry)
    assert list(versions(tmp_path / "one")) == ["tiny"]


@pytest.mark.parametrize(("asked", "held"), [("", True), ("tiny", False), ("tiny,wide", True)])
def test_a_cascade_comes_with_all_of_its_variants_or_not_at_all(tmp_path, remote, asked, held):
    write_cascade(remote.parent, dict.fromkeys(("tiny", "wide"), "0" * 16))
    target = tmp_path / "here" / "tone"

    done = fetch(remote.as_uri(), "--to", target, "--variants", asked)

    assert (done.returncode, (target / "cascade.json").exists()) == (0, held), done.stderr


def test_a_cascade_stays_where_its_variants_are_though_one_is_asked_for(tmp_path, remote):
    write_cascade(remote.parent, dict.fromkeys(("tiny", "wide"), "0" * 16))
    target = tmp_path / "here" / "tone"

    for asked in ("", "tiny"):
        done = fetch(remote.as_uri(), "--to", target, "--variants", asked)
        assert (done.returncode, (target / "cascade.json").exists()) == (0, True), done.stderr


def test_a_cascade_that_cannot_be_read_is_left_to_the_server_to_refuse(tmp_path, remote):
    (remote / "cascade.json").write_bytes(b"\xff{")
    target = tmp_path / "here" / "tone"

    done = fetch(remote.as_uri(), "--to", target, "--variants", "tiny")

    assert done.returncode == 0, done.stderr
    assert (target / "cascade.json").read_bytes() == b"\xff{"


def test_what_the_cache_holds_is_not_downloaded_again_unless_it_changed(tmp_path, remote):
    cache = tmp_path / "cache"
    first = fetch(remote.as_uri(), "--to", tmp_path / "a" / "tone", "--cache", cache)
    for path in remote.glob("*/model.onnx"):
        path.unlink()
    second = fetch(remote.as_uri(), "--to", tmp_path / "b" / "tone", "--cache", cache)

    assert (first.returncode, second.returncode) == (0, 0), second.stderr
    assert versions(tmp_path / "a") == versions(tmp_path / "b")
    events = [json.loads(line)["event"] for line in (second.stdout + second.stderr).splitlines()]
    assert events == ["already fetched"] * 2


def test_pods_that_start_at_once_share_one_download(tmp_path, remote):
    command = [sys.executable, "-m", "serving", "fetch", remote.as_uri()]
    pods = [
        subprocess.Popen(
            [*command, "--to", tmp_path / name / "tone", "--cache", tmp_path / "cache"],
            cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )
        for name in "abcd"
    ]  # fmt: skip
    said = "".join(pod.communicate(timeout=60)[0] for pod in pods)

    assert {pod.returncode for pod in pods} == {0}, said
    assert said.count('"event":"fetched"') == 2
    assert said.count('"event":"already fetched"') == 6
    assert len({str(versions(tmp_path / name)) for name in "abcd"}) == 1


def test_a_spoilt_download_is_refused_and_leaves_nothing(tmp_path, remote):
    (remote / "wide" / "model.onnx").write_bytes(b"cut")

    done = fetch(remote.as_uri(), "--to", tmp_path / "got" / "tone", "--variants", "wide")

    assert done.returncode == 2
    assert f"{remote / 'wide' / 'model.onnx'} does not match its manifest" in done.stderr
    assert not (tmp_path / "got").exists()


@pytest.mark.parametrize(
    ("url", "more", "said"),
    [
        ("{remote}", ["--to", "tone", "--variants", "huge"], "no huge; it holds tiny, wide"),
        ("{remote}", ["--to", "other"], "is of the family tone, not other: use --to"),
        ("{remote}/nowhere", ["--to", "tone"], "cannot be read"),
        ("nonsense://there", ["--to", "tone"], "cannot be read"),
        ("{remote}/tiny", ["--to", "tone"], "holds no bundle: give the URL of a family's folder"),
    ],
)
def test_what_cannot_be_fetched_is_one_sentence(remote, url, more, said):
    done = fetch(url.format(remote=remote.as_uri()), *more)

    assert done.returncode == 2
    assert said in done.stderr
    assert "Traceback" not in done.stderr


@dataclass
class Bucket:
    """`bundles` in a real S3 server's memory."""

    server: ThreadedMotoServer
    environ: dict[str, str]

    def __post_init__(self):
        self.server.start()
        host, port = self.server.get_host_and_port()
        self.environ["AWS_ENDPOINT_URL"] = f"http://{host}:{port}"
        self._s3 = boto3.client(
            "s3", endpoint_url=self.environ["AWS_ENDPOINT_URL"], region_name="us-east-1",
            aws_access_key_id="test", aws_secret_access_key="test",
        )  # fmt: skip
        self._s3.create_bucket(Bucket="bundles")

    def upload(self, folder):
        """The manifests last, so that nothing is fetched half."""
        paths = (path for path in folder.rglob("*") if path.is_file())
        for path in sorted(paths, key=lambda path: path.name == "manifest.json"):
            self._s3.upload_file(str(path), "bundles", str(path.relative_to(folder)))

    def remove(self, key):
        self._s3.delete_object(Bucket="bundles", Key=key)


@pytest.fixture
def bucket():
    environ = {
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": "us-east-1",
    }
    bucket = Bucket(ThreadedMotoServer(port=0), environ)
    yield bucket
    bucket.server.stop()


def test_a_family_comes_from_s3(tmp_path, tiny_registry, bucket):
    bucket.upload(tiny_registry)

    done = fetch("s3://bundles/tone", "--to", tmp_path / "got" / "tone", **bucket.environ)
    nobody = fetch("s3://other/tone", "--to", tmp_path / "no" / "tone", **bucket.environ)

    assert done.returncode == 0, done.stderr
    assert versions(tmp_path / "got") == versions(tiny_registry)
    assert nobody.returncode == 2
    assert "s3://other/tone cannot be read" in nobody.stderr


def test_a_version_published_to_a_bucket_is_soon_what_a_running_server_answers_with(
    tmp_path, tiny_registry, bucket
):
    remote = shutil.copytree(tiny_registry, tmp_path / "remote")
    bucket.upload(remote)
    got, log_path = tmp_path / "got", tmp_path / "log"
    where = ("s3://bundles/tone", "--to", got / "tone", "--variants", "tiny")
    assert fetch(*where, **bucket.environ).returncode == 0
    with watching(log_path, *where, **bucket.environ), serving(got, scan_ms=100) as server:
        first = tiny(server)["version"]
        write_bundle(tmp_path / "new", scale=2.0)
        second = publish(tmp_path / "new", remote).manifest.version
        bucket.upload(remote)  # with tiny@previous beside tiny
        wait_for(lambda: tiny(server)["version"] == second)
        answer = server.classify({"texts": ["good"]}).json()
        (remote / "tone" / "traffic.json").write_text(json.dumps({"tiny": {"version": first}}))
        bucket.upload(remote)
        wait_for(lambda: tiny(server)["version"] == first)
        bucket.remove("tone/traffic.json")
        wait_for(lambda: tiny(server)["version"] == second)

    assert first != second == answer["results"][0]["version"]


def test_a_watcher_outlives_a_store_that_cannot_be_read_and_a_broken_bundle(
    tmp_path, tiny_registry, remote
):
    model = remote / "wide" / "model.onnx"
    whole = model.read_bytes()
    model.write_bytes(b"cut")
    away = remote.rename(tmp_path / "away")
    log_path = tmp_path / "log"
    with watching(log_path, remote.as_uri(), "--to", tmp_path / "got" / "tone"):
        wait_for(lambda: "cannot be read" in log_path.read_text())
        away.rename(remote)
        wait_for(lambda: "model.onnx does not match its manifest" in log_path.read_text())
        model.write_bytes(whole)
        wait_for((tmp_path / "got" / "tone" / "wide").exists)

    assert versions(tmp_path / "got") == versions(tiny_registry)


@pytest.mark.parametrize("store", ["s3", "hf"])
def test_a_store_that_does_not_answer_is_one_sentence(tmp_path, store):
    nowhere = f"http://127.0.0.1:{free_port()}"
    environ = {"AWS_ENDPOINT_URL": nowhere, "HF_ENDPOINT": nowhere, "AWS_ACCESS_KEY_ID": "test",
               "AWS_SECRET_ACCESS_KEY": "test", "AWS_MAX_ATTEMPTS": "1"}  # fmt: skip

    done = fetch(f"{store}://owner/name/tone", "--to", tmp_path / "tone", **environ)

    assert done.returncode == 2
    assert "cannot be read: " in done.stderr
    assert "Traceback" not in done.stderr
