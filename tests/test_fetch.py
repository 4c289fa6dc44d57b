"""`python -m serving fetch`, as the init container runs it, from folders and from real S3 calls."""

import json
import os
import shutil
import subprocess
import sys

import pytest

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
