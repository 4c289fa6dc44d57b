import threading

import pytest

from serving.bundles import files as files_module
from serving.bundles.bundle import verify
from serving.bundles.registry import publish, read_registry, scan
from serving.errors import BundleError
from tests.support.bundles import write_bundle, write_registry


def test_a_published_family_is_read_back_smallest_first(tmp_path):
    registry = write_registry(tmp_path / "registry", tmp_path)

    families = read_registry(registry)

    assert [b.manifest.variant for b in families["tone"]] == ["tiny", "wide"]


def test_publishing_the_same_bundle_twice_changes_nothing(tmp_path):
    write_bundle(tmp_path / "new")
    first = publish(tmp_path / "new", tmp_path / "registry")
    inode = first.folder.stat().st_ino

    publish(tmp_path / "new", tmp_path / "registry")

    assert first.folder.stat().st_ino == inode


def test_another_version_takes_the_place_of_the_old_one_which_lies_beside(tmp_path):
    write_bundle(tmp_path / "old")
    publish(tmp_path / "old", tmp_path / "registry")
    newer = write_bundle(tmp_path / "new", scale=3.0)

    bundle = publish(tmp_path / "new", tmp_path / "registry")

    assert bundle.manifest.version == newer.version
    names = sorted(p.name for p in (tmp_path / "registry" / "tone").iterdir())
    assert names == ["tiny", "tiny@previous"]


def test_whoever_looks_while_versions_are_published_finds_one(tmp_path):
    versions = {write_bundle(tmp_path / str(n), scale=float(n)).version for n in (1, 2)}
    publish(tmp_path / "1", tmp_path / "registry")
    publisher = threading.Thread(
        target=lambda: [publish(tmp_path / str(n), tmp_path / "registry") for n in (2, 1) * 30]
    )
    publisher.start()
    found = []
    while publisher.is_alive():
        bundles = scan([tmp_path / "registry"]).bundles.get("tone", [])
        found.append({b.manifest.version for b in bundles if b.folder.name == "tiny"})

    assert len(found) > 100
    assert all(len(each) == 1 and each <= versions for each in found)


def test_where_names_cannot_be_swapped_at_once_a_version_is_published_all_the_same(
    tmp_path, monkeypatch
):
    monkeypatch.setattr(files_module, "_RENAME_EXCHANGE", 1 << 20)  # the kernel knows no such
    write_bundle(tmp_path / "old")
    publish(tmp_path / "old", tmp_path / "registry")
    newer = write_bundle(tmp_path / "new", scale=3.0)

    bundle = publish(tmp_path / "new", tmp_path / "registry")

    assert bundle.manifest.version == newer.version
    names = sorted(p.name for p in (tmp_path / "registry" / "tone").iterdir())
    assert names == ["tiny", "tiny@previous"]


def test_a_broken_bundle_is_not_published(tmp_path):
    write_bundle(tmp_path / "new")
    (tmp_path / "new" / "model.onnx").write_bytes(b"broken")

    with pytest.raises(BundleError, match=r"model\.onnx"):
        publish(tmp_path / "new", tmp_path / "registry")

    assert not (tmp_path / "registry").exists()


def test_a_half_written_bundle_is_not_seen(tmp_path):
    registry = write_registry(tmp_path / "registry", tmp_path)
    (registry / "tone" / ".tiny.0123.99").mkdir()

    assert len(read_registry(registry)["tone"]) == 2


@pytest.mark.parametrize("make", [False, True])
def test_a_missing_or_empty_registry_names_the_setting_and_the_remedy(tmp_path, make):
    folder = tmp_path / "registry"
    if make:
        folder.mkdir()

    with pytest.raises(BundleError, match="SIZEWISE_REGISTRY"):
        read_registry(folder)


def test_a_folder_that_is_not_named_like_its_variant_is_refused(tmp_path):
    registry = write_registry(tmp_path / "registry", tmp_path)
    (registry / "tone" / "tiny").rename(registry / "tone" / "huge")

    with pytest.raises(BundleError, match="rename the folder"):
        read_registry(registry)


def test_only_the_named_variants_are_read_and_an_unknown_name_is_told(tmp_path):
    registry = write_registry(tmp_path / "registry", tmp_path)

    named = read_registry(registry, ("wide",))

    assert [bundle.manifest.variant for bundle in named["tone"]] == ["wide"]
    with pytest.raises(BundleError, match=r"SIZEWISE_VARIANTS: there is no huge.*tiny, wide"):
        read_registry(registry, ("wide", "huge"))


@pytest.mark.parametrize("what", ["tone", "tone/tiny", "tone/tiny/model.onnx", "tone/traffic.json"])
def test_a_link_that_leads_out_of_the_registry_is_refused(tmp_path, what):
    registry = write_registry(tmp_path / "registry", tmp_path)
    (registry / "tone" / "traffic.json").write_text("{}")
    (registry / what).rename(tmp_path / "outside")
    (registry / what).symlink_to(tmp_path / "outside")

    found = scan([registry])
    refused = {path: reason for path, reason in found.refused.items() if "is a link" in reason}

    if what.endswith(".onnx"):
        (tiny,) = (b for b in found.bundles["tone"] if b.manifest.variant == "tiny")
        with pytest.raises(BundleError, match="is a link that leads out of"):
            verify(tiny)
    else:
        assert list(refused) == [str(registry / what)]
    assert not what.endswith("tiny") or [b.folder.name for b in found.bundles["tone"]] == ["wide"]


def test_links_within_a_registry_are_followed_as_kubernetes_mounts_a_configmap(tmp_path):
    registry = write_registry(tmp_path / "registry", tmp_path)
    tiny = registry / "tone" / "tiny"
    (tiny / "..2026_11_26").mkdir()
    (tiny / "..data").symlink_to("..2026_11_26")
    for path in [path for path in tiny.iterdir() if path.is_file()]:
        path.rename(tiny / "..2026_11_26" / path.name)
        path.symlink_to(f"..data/{path.name}")
    (registry / ".data").mkdir()
    (registry / "tone" / "wide").rename(registry / ".data" / "wide")
    (registry / "tone" / "wide").symlink_to("../.data/wide")

    bundles = read_registry(registry)["tone"]

    assert [bundle.manifest.variant for bundle in bundles] == ["tiny", "wide"]
    for bundle in bundles:
        verify(bundle)


def test_nothing_is_published_through_a_link(tmp_path):
    write_bundle(tmp_path / "new")
    (tmp_path / "outside").mkdir()
    (tmp_path / "registry" / "tone").mkdir(parents=True)
    (tmp_path / "registry" / "tone" / "tiny").symlink_to(tmp_path / "outside")

    with pytest.raises(BundleError, match="is a link: remove it"):
        publish(tmp_path / "new", tmp_path / "registry")

    assert list((tmp_path / "outside").iterdir()) == []
