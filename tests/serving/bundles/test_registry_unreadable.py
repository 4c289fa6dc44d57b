"""What the file system may hold or refuse beside bundles: it costs that entry only."""

import errno
import os
from pathlib import Path

import pytest

from serving.bundles.fingerprint import fingerprint
from serving.bundles.registry import read_registry, scan
from serving.errors import BundleError
from tests.support.bundles import write_registry

NO_STAT = [errno.EACCES, errno.EIO, errno.ESTALE, errno.ENAMETOOLONG]


@pytest.fixture
def registry(tmp_path):
    return write_registry(tmp_path / "registry", tmp_path)


def unreadable(monkeypatch, name, number, *methods):
    """Let these methods of each path of this name fail."""
    for method in methods:
        real = getattr(Path, method)

        def fail(path, *arguments, real=real, **options):
            if path.name == name:
                raise OSError(number, os.strerror(number), str(path))
            return real(path, *arguments, **options)

        monkeypatch.setattr(Path, method, fail)


@pytest.mark.parametrize("number", NO_STAT, ids=errno.errorcode.get)
@pytest.mark.parametrize("where", [".", "tone"])
def test_an_entry_without_information_is_refused_and_the_rest_is_found(
    registry, monkeypatch, number, where
):
    (registry / where / "odd").mkdir()
    unreadable(monkeypatch, "odd", number, "is_dir", "exists", "iterdir")
    found = scan([registry])

    assert [bundle.manifest.variant for bundle in found.bundles["tone"]] == ["tiny", "wide"]
    assert list(found.refused) == [str(registry / where / "odd")]
    assert os.strerror(number) in found.refused[str(registry / where / "odd")]
    assert found.lost == {}


def test_the_folder_of_a_volume_that_only_root_reads_is_no_bundle_that_was_lost(
    registry, monkeypatch
):
    (registry / "lost+found").mkdir()
    unreadable(monkeypatch, "lost+found", errno.EACCES, "iterdir")
    found = scan([registry])

    assert list(found.refused) == [str(registry / "lost+found")]
    assert found.lost == {}
    assert list(read_registry(registry)) == ["tone"], "other programs read it too"


def test_names_that_are_not_utf_8_and_links_that_lead_nowhere_are_refused(registry):
    os.mkdir(os.fsencode(registry) + b"/\xff\xfe")  # noqa: PTH102  of bytes
    os.mkdir(os.fsencode(registry) + b"/\xff\xfe/x")  # noqa: PTH102
    (registry / "loop").symlink_to("loop")
    (registry / "tone" / "gone").symlink_to("nowhere")
    found = scan([registry])

    assert list(found.bundles) == ["tone"]
    assert len(found.refused) == 3
    for path, reason in found.refused.items():
        (path + reason).encode()
    assert fingerprint([registry])


def test_a_registry_that_cannot_be_looked_at_says_so_and_names_the_setting(registry, monkeypatch):
    unreadable(monkeypatch, "registry", errno.EACCES, "exists")

    with pytest.raises(BundleError, match=r"SIZEWISE_REGISTRY: .*Permission denied"):
        scan([registry])


def test_broken_bundles_are_told_from_folders_that_are_none(registry):
    (registry / "tone" / "wide" / "manifest.json").unlink()
    (registry / "tone" / "wide@next").mkdir()
    (registry / "tone" / "wide@next" / "model.onnx").write_bytes(b"")
    (registry / "notes" / "drafts").mkdir(parents=True)
    found = scan([registry])

    assert set(found.refused) == {
        str(registry / "notes" / "drafts"),
        str(registry / "tone" / "wide"),
        str(registry / "tone" / "wide@next"),
    }
    assert list(found.lost) == [("tone", "wide")]


@pytest.mark.parametrize("name", ["manifest.json", "traffic.json"])
@pytest.mark.parametrize("number", [errno.EMFILE, errno.ENFILE], ids=errno.errorcode.get)
def test_without_a_descriptor_nothing_is_refused_and_the_scan_fails(
    registry, monkeypatch, name, number
):
    (registry / "tone" / "traffic.json").write_text("{}")
    opened = os.open

    def fail(path, *arguments, **options):
        if Path(path).name == name:
            raise OSError(number, os.strerror(number), str(path))
        return opened(path, *arguments, **options)

    monkeypatch.setattr(os, "open", fail)

    with pytest.raises(BundleError, match=os.strerror(number)):
        scan([registry])
