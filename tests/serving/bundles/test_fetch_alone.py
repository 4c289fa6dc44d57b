"""What one bundle or one file does to `fetch` fails that one alone, in one sentence."""

import hashlib
import json
import os
import subprocess
import sys

import pytest

from serving.bundles import fetch as fetch_module
from serving.bundles.bundle import BundleFile, Manifest
from serving.bundles.fetch import fetch, follow
from serving.bundles.registry import intact
from serving.errors import BundleError, StartError
from tests.support.bundles import write_bundle
from tests.support.patience import ends
from tests.support.processes import ROOT
from tests.support.special_files import put


class StopError(BaseException):
    """Ends what never ends."""


@pytest.fixture
def remote(tmp_path):
    write_bundle(tmp_path / "remote" / "tone" / "tiny")
    write_bundle(tmp_path / "remote" / "tone" / "wide", variant="wide", max_length=16)
    return tmp_path / "remote" / "tone"


def deepen(bundle):
    """Nest config.json beyond what a parser's stack holds; the manifest agrees with it."""
    deep = b'{"id2label": ' + b"[" * 200_000 + b"]" * 200_000 + b"}"
    (bundle / "config.json").write_bytes(deep)
    fields = json.loads((bundle / "manifest.json").read_text())
    new = BundleFile(sha256=hashlib.sha256(deep).hexdigest(), bytes=len(deep))
    files = {**Manifest.model_validate(fields).files, "config.json": new}
    fields["files"]["config.json"] = new.model_dump()
    fields["version"] = Manifest.model_construct(**fields | {"files": files}).content_version()
    (bundle / "manifest.json").write_text(json.dumps(fields))


def test_a_deeply_nested_config_fails_its_bundle_alone(remote, target):
    deepen(remote / "tiny")

    with pytest.raises(BundleError, match="no usable id2label"):
        fetch(remote.as_uri(), target)

    assert not (target / "tiny").exists()
    assert intact(target / "wide")


@pytest.mark.parametrize("raised", [RecursionError, MemoryError, OSError, KeyError, BundleError])
def test_whatever_a_bundle_raises_fails_it_alone(remote, target, monkeypatch, raised):
    real = fetch_module.download

    def fail(remote_bundle, *arguments):
        if remote_bundle.name == "tiny":
            raise raised("of tiny")
        real(remote_bundle, *arguments)

    monkeypatch.setattr(fetch_module, "download", fail)

    with pytest.raises(StartError, match="of tiny"):
        fetch(remote.as_uri(), target)

    assert intact(target / "wide")


def test_the_familys_files_come_although_a_bundle_is_broken(remote, target):
    (remote / "tiny" / "model.onnx").write_bytes(b"cut")
    (remote / "traffic.json").write_text("{}")

    with pytest.raises(StartError, match=r"model\.onnx does not match"):
        fetch(remote.as_uri(), target)

    assert (target / "traffic.json").read_text() == "{}"


def test_each_of_several_failures_is_logged(remote, target, capsys):
    for name in ("tiny", "wide"):
        (remote / name / "model.onnx").write_bytes(b"cut")

    with pytest.raises(StartError):
        fetch(remote.as_uri(), target)

    said = capsys.readouterr().out
    assert "tiny/model.onnx does not match" in said
    assert "wide/model.onnx does not match" in said


def test_a_follower_goes_on_after_any_exception(remote, target, monkeypatch, capsys):
    raised = iter([RecursionError("too deep"), MemoryError(), KeyError("x"), StopError()])

    def fail(*_arguments, **_options):
        raise next(raised)

    monkeypatch.setattr(fetch_module, "fetch", fail)

    with pytest.raises(StopError):
        follow(remote.as_uri(), target, 0.0)

    logged = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [each["reason"] for each in logged] == ["too deep", "MemoryError", "'x'"]


@pytest.mark.parametrize("kind", ["pipe", "socket", "file", "folder"])
def test_what_lies_in_the_place_of_a_bundle_is_replaced(remote, target, kind):
    target.mkdir()
    put(kind, target / "tiny")

    ends(lambda: fetch(remote.as_uri(), target))

    assert intact(target / "tiny")
    assert sorted(path.name for path in target.iterdir()) == ["tiny", "wide"]


def prepared(target, how):
    """Spoil where the family is to be written, and return where that is."""
    if how == "below a file":
        (target.parent / "file").write_text("")
        return target.parent / "file" / "tone"
    if how == "dangling link":
        target.symlink_to(target.parent / "nowhere" / "x")
    elif how == "pipe":
        os.mkfifo(target)
    elif how == "procfs":
        return target.parent.__class__("/proc/1/nothing/tone")
    else:
        (target / "traffic.json").mkdir(parents=True)
    return target


@pytest.mark.parametrize(
    "how", ["below a file", "dangling link", "pipe", "procfs", "traffic.json is a folder"]
)
def test_a_target_that_cannot_be_written_is_one_sentence_and_status_2(remote, target, how):
    place = prepared(target, how)
    done = subprocess.run(
        [sys.executable, "-m", "serving", "fetch", remote.as_uri(), "--to", str(place)],
        cwd=ROOT, env=os.environ, capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip

    assert done.returncode == 2, done.stderr
    assert "Traceback" not in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert str(place) in done.stderr or "/proc" in done.stderr


@pytest.mark.parametrize("there", [True, False])
def test_a_folder_named_traffic_json_is_left_as_it_is(remote, target, there):
    if there:
        (remote / "traffic.json").write_text("{}")
    (target / "traffic.json").mkdir(parents=True)

    with pytest.raises(StartError, match=r"traffic\.json"):
        fetch(remote.as_uri(), target)

    assert intact(target / "tiny")
    assert (target / "traffic.json").is_dir()
    assert sorted(path.name for path in target.iterdir()) == ["tiny", "traffic.json", "wide"]
