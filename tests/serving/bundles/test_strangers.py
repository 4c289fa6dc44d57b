import errno
import os
from pathlib import Path

import pytest

from serving.bundles.registry import scan
from serving.bundles.strangers import strangers
from tests.support.bundles import write_registry


@pytest.fixture
def registry(tmp_path):
    return write_registry(tmp_path / "registry", tmp_path)


def refused_and_strange(registry):
    found = scan([registry])
    return set(found.refused), strangers(found.refused, [registry])


def test_a_folder_without_any_file_of_a_bundle_is_a_stranger(registry):
    (registry / "notes" / "2026").mkdir(parents=True)
    (registry / "notes" / "2026" / "todo.txt").write_text("nothing")
    (registry / "tone" / "scratch").mkdir()
    refused, strange = refused_and_strange(registry)

    assert (
        strange
        == refused
        == {
            str(registry / "notes" / "2026"),
            str(registry / "tone" / "scratch"),
        }
    )


def test_a_folder_with_part_of_a_bundle_is_none(registry):
    half = registry / "tone" / "half"
    half.mkdir()
    (half / "model.onnx").write_bytes(b"")
    (registry / "tone" / "gone").symlink_to("nowhere")
    (registry / "tone" / "traffic.json").mkdir()
    refused, strange = refused_and_strange(registry)

    assert {str(half), str(registry / "tone" / "gone")} <= refused - strange


def test_what_only_root_reads_is_a_stranger_by_its_name_alone(registry, monkeypatch):
    paths = [registry / "lost+found", registry / "tone" / "lost+found", registry / "mood"]

    def denied(path, *_more, **_options):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))

    monkeypatch.setattr(Path, "is_symlink", denied)

    assert strangers(map(str, paths), [registry]) == {str(paths[0]), str(paths[1])}


def test_a_registry_and_a_family_are_no_strangers(registry):
    assert strangers([str(registry), str(registry / "tone")], [registry]) == frozenset()
