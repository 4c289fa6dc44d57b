"""`fetch` beside a neighbour who has prepared the shared cache or the target."""

import shutil

import pytest

from serving.bundles import shared_cache as cache_module
from serving.bundles.fetch import fetch
from serving.bundles.registry import intact
from serving.errors import BundleError, StartError
from tests.support.bundles import write_bundle
from tests.support.hostile_store import outside


def bring(store, target, **options):
    fetch(f"{store.url}/tone", target, **options)


def poisoned(cache, tmp_path, how):
    """What a neighbour can leave in a shared cache."""
    tone = cache / "tone"
    if how == "a family that is a link":
        cache.mkdir()
        tone.symlink_to(tmp_path / "models" / "neighbour")
        return
    tone.mkdir(parents=True)
    if how == "a lock that is a link":
        (tone / ".tiny.lock").symlink_to(tmp_path / "outside")
    elif how == "a lock that is a hard link":
        (tone / ".tiny.lock").hardlink_to(tmp_path / "outside")
    elif how == "a bundle that is a link":
        (tone / "tiny").symlink_to(tmp_path / "models" / "neighbour")
    elif how == "a bundle whose files are links":
        shutil.copytree(tmp_path / "remote" / "tone" / "tiny", tone / "tiny")
        (tone / "tiny" / "model.onnx").unlink()
        (tone / "tiny" / "model.onnx").symlink_to(tmp_path / "outside")
    elif how == "a bundle of other files":
        shutil.copytree(tmp_path / "remote" / "tone" / "tiny", tone / "tiny")
        (tone / "tiny" / "model.onnx").write_bytes(b"other")
    elif how == "another bundle":
        write_bundle(tone / "tiny", scale=-1.0)
    else:
        (tone / ".tiny.staged").symlink_to(tmp_path / "models" / "neighbour")


@pytest.mark.parametrize(
    "how",
    [
        "a family that is a link", "a lock that is a link", "a lock that is a hard link",
        "a bundle that is a link", "a bundle whose files are links", "a bundle of other files",
        "another bundle", "the old name of a temporary folder as a link",
    ],
)  # fmt: skip
def test_a_cache_that_a_neighbour_has_prepared_changes_nothing_outside(
    store, target, tmp_path, how
):
    poisoned(tmp_path / "cache", tmp_path, how)
    before = outside(target)
    asked = (store.folder / "tone" / "tiny" / "model.onnx").read_bytes()
    try:
        bring(store, target, cache=tmp_path / "cache")
    except (StartError, OSError):
        assert not target.exists()
    else:
        assert (target / "tiny" / "model.onnx").read_bytes() == asked
    assert outside(target) == before


def test_a_lock_that_is_never_released_costs_a_second_download(
    store, target, tmp_path, monkeypatch
):
    monkeypatch.setattr(cache_module, "_LOCK_S", 0.2)
    (tmp_path / "cache" / "tone").mkdir(parents=True)
    with cache_module._alone(tmp_path / "cache" / "tone" / ".tiny.lock"):
        bring(store, target, cache=tmp_path / "cache")

    assert intact(target / "tiny")


@pytest.mark.parametrize("name", ["tiny", "traffic.json"])
def test_a_link_at_the_target_is_not_followed(store, target, tmp_path, name):
    (store.folder / "tone" / "traffic.json").write_text("{}")
    target.mkdir()
    place = tmp_path / "outside" if "json" in name else tmp_path / "models" / "neighbour"
    (target / name).symlink_to(place)
    before = outside(target)
    try:
        bring(store, target)
    except BundleError as error:
        assert "is a link" in error.detail  # noqa: PT017
    else:
        assert not (target / name).is_symlink()
    assert outside(target) == before
