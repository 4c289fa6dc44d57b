import errno
import os

import pytest

from serving.bundles.bundle import read_bundle
from serving.errors import BundleError
from serving.runtime import integrity as integrity_module
from serving.runtime.integrity import Integrity
from tests.support.bundles import write_bundle


@pytest.fixture
def loaded(tmp_path):
    """A bundle that was verified, and what watches it."""
    write_bundle(tmp_path / "tiny")
    bundle, integrity = read_bundle(tmp_path / "tiny"), Integrity()
    integrity.verify(bundle)
    assert settled(integrity, bundle) == []
    return bundle, integrity


def settled(integrity, bundle):
    """The reasons once two checks have seen the same files."""
    integrity.altered([bundle])
    return [reason for _, reason in integrity.altered([bundle])]


def test_other_bytes_under_the_same_name_are_reported_though_size_and_mtime_are_kept(loaded):
    bundle, integrity = loaded
    graph, status = bundle.model_path, bundle.model_path.stat()
    content = bytearray(graph.read_bytes())
    content[-1] ^= 1
    graph.write_bytes(content)
    os.utime(graph, ns=(status.st_atime_ns, status.st_mtime_ns))

    (reason,) = settled(integrity, bundle)

    assert "model.onnx does not match its manifest" in reason
    assert "a restart would refuse it" in reason


def test_a_file_that_was_removed_is_reported_until_it_is_back(loaded):
    bundle, integrity = loaded
    content = bundle.tokenizer_path.read_bytes()
    bundle.tokenizer_path.unlink()
    (removed,) = settled(integrity, bundle)
    bundle.tokenizer_path.write_bytes(content)

    assert "tokenizer.json is missing" in removed
    assert settled(integrity, bundle) == []


def test_files_are_hashed_only_when_they_have_changed_and_not_while_they_change(
    loaded, monkeypatch
):
    bundle, integrity = loaded
    hashed = []
    monkeypatch.setattr(integrity_module, "verify", hashed.append)
    settled(integrity, bundle)
    unchanged = len(hashed)
    for number in range(3):
        os.utime(bundle.model_path, ns=(0, number))
        integrity.altered([bundle])
    changing = len(hashed)
    settled(integrity, bundle)
    settled(integrity, bundle)

    assert (unchanged, changing, len(hashed)) == (0, 0, 1)


def test_what_is_written_between_verifying_and_loading_is_seen(loaded, monkeypatch):
    bundle, integrity = loaded

    def verify_and_write(its):
        verify(its)
        its.model_path.write_bytes(b"another graph")

    verify = integrity_module.verify
    monkeypatch.setattr(integrity_module, "verify", verify_and_write)
    integrity.verify(bundle)
    monkeypatch.undo()

    assert len(settled(integrity, bundle)) == 1


def test_a_bundle_that_is_broken_before_it_is_loaded_is_refused(tmp_path):
    write_bundle(tmp_path / "tiny")
    (tmp_path / "tiny" / "model.onnx").write_bytes(b"broken")

    with pytest.raises(BundleError, match="does not match its manifest"):
        Integrity().verify(read_bundle(tmp_path / "tiny"))


def test_a_shortage_while_files_are_hashed_is_no_verdict_on_them(loaded, monkeypatch):
    bundle, integrity = loaded

    def short(_bundle):
        raise OSError(errno.EMFILE, "Too many open files")

    os.utime(bundle.model_path, ns=(0, 1))
    monkeypatch.setattr(integrity_module, "verify", short)
    with pytest.raises(BundleError, match="Too many open files"):
        settled(integrity, bundle)
    monkeypatch.undo()

    assert settled(integrity, bundle) == []
