"""`python -m serving fetch`, as the init container runs it, from folders and from real S3 calls."""

import json
import os
import shutil
import subprocess
import sys

import boto3
import pytest
from moto.server import ThreadedMotoServer

from serving.registry import read_registry
from tests.processes import ROOT


def fetch(*arguments, **environ):
    return subprocess.run(
        [sys.executable, "-m", "serving", "fetch", *map(str, arguments)],
        cwd=ROOT, env=os.environ | environ, capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip


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


def test_what_the_cache_holds_is_not_downloaded_again_unless_it_changed(tmp_path, remote):
    cache = tmp_path / "cache"
    first = fetch(remote.as_uri(), "--to", tmp_path / "a" / "tone", "--cache", cache)
    for path in remote.glob("*/model.onnx"):
        path.unlink()
    second = fetch(remote.as_uri(), "--to", tmp_path / "b" / "tone", "--cache", cache)

    assert (first.returncode, second.returncode) == (0, 0), second.stderr
    assert versions(tmp_path / "a") == versions(tmp_path / "b")
    events = [json.loads(line)["event"] for line in (second.stdout + second.stderr).splitlines()]
    assert events == ["fetched before"] * 2


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
    assert said.count('"event":"fetched before"') == 6
    assert len({str(versions(tmp_path / name)) for name in "abcd"}) == 1


def test_a_spoilt_download_is_refused_and_leaves_nothing(tmp_path, remote):
    (remote / "wide" / "model.onnx").write_bytes(b"cut")

    done = fetch(remote.as_uri(), "--to", tmp_path / "got" / "tone", "--variants", "wide")

    assert done.returncode == 2
    assert "model.onnx is not what its manifest says" in done.stderr
    assert not (tmp_path / "got").exists()


@pytest.mark.parametrize(
    ("url", "more", "said"),
    [
        ("{remote}", ["--to", "tone", "--variants", "huge"], "no huge; it holds tiny, wide"),
        ("{remote}", ["--to", "other"], "is of the family tone, not other: use --to"),
        ("{remote}/nowhere", ["--to", "tone"], "cannot be read"),
        ("nonsense://there", ["--to", "tone"], "cannot be read"),
        ("{remote}/tiny", ["--to", "tone"], "holds no bundle: name the folder of a family"),
    ],
)
def test_what_cannot_be_fetched_is_one_sentence(remote, url, more, said):
    done = fetch(url.format(remote=remote.as_uri()), *more)

    assert done.returncode == 2
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_a_family_comes_from_s3(tmp_path, tiny_registry):
    server = ThreadedMotoServer(port=0)
    server.start()
    try:
        host, port = server.get_host_and_port()
        where = {
            "AWS_ENDPOINT_URL": f"http://{host}:{port}",
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_DEFAULT_REGION": "us-east-1",
        }
        s3 = boto3.client(
            "s3", endpoint_url=where["AWS_ENDPOINT_URL"], region_name="us-east-1",
            aws_access_key_id="test", aws_secret_access_key="test",
        )  # fmt: skip
        s3.create_bucket(Bucket="bundles")
        for path in tiny_registry.rglob("*"):
            if path.is_file():
                s3.upload_file(str(path), "bundles", str(path.relative_to(tiny_registry)))

        done = fetch("s3://bundles/tone", "--to", tmp_path / "got" / "tone", **where)
        nobody = fetch("s3://other/tone", "--to", tmp_path / "no" / "tone", **where)
    finally:
        server.stop()

    assert done.returncode == 0, done.stderr
    assert versions(tmp_path / "got") == versions(tiny_registry)
    assert nobody.returncode == 2
    assert "s3://other/tone cannot be read" in nobody.stderr
