"""A neighbour who has spoilt the shared cache costs a download, and stops no start."""

import shutil

import pytest

from serving.bundles import download as download_module
from serving.bundles import shared_cache as cache_module
from serving.bundles.fetch import fetch
from serving.bundles.registry import intact
from tests.support.patience import ends
from tests.support.special_files import put

UNUSABLE = "the cache cannot be used: downloading without it"


def bring(store, target, cache):
    ends(lambda: fetch(f"{store.url}/tone", target, cache=cache))


@pytest.fixture
def cache(tmp_path):
    (tmp_path / "cache" / "tone").mkdir(parents=True)
    return tmp_path / "cache"


@pytest.mark.parametrize("name", ["tiny", ".tiny.0123456789abcdef"])
@pytest.mark.parametrize("kind", ["pipe", "socket", "file", "folder", "device", "nowhere"])
def test_what_lies_in_the_place_of_a_bundle_is_replaced(store, target, cache, name, kind):
    put(kind, cache / "tone" / name)

    bring(store, target, cache)

    assert intact(target / "tiny")
    assert intact(cache / "tone" / "tiny")
    assert sorted(path.name for path in (cache / "tone").iterdir()) == [".tiny.lock", "tiny"]


@pytest.mark.parametrize("kind", ["socket", "folder", "device", "nowhere"])
def test_a_lock_that_cannot_be_taken_is_done_without(store, target, cache, kind, capsys):
    put(kind, cache / "tone" / ".tiny.lock")

    bring(store, target, cache)

    assert intact(target / "tiny")
    assert UNUSABLE in capsys.readouterr().out


@pytest.mark.parametrize("kind", ["pipe", "socket", "file", "device", "nowhere"])
@pytest.mark.parametrize("level", ["cache", "tone"])
def test_a_cache_that_is_no_folder_is_done_without(store, target, cache, capsys, *, level, kind):
    place = cache if level == "cache" else cache / level
    shutil.rmtree(place)
    put(kind, place)

    bring(store, target, cache)

    assert intact(target / "tiny")
    assert UNUSABLE in capsys.readouterr().out


def test_anothers_broken_folder_that_cannot_be_removed_is_done_without(
    store, target, cache, monkeypatch, capsys
):
    broken = cache / "tone" / "tiny"
    broken.mkdir()
    (broken / "model.onnx").write_bytes(b"bad")
    monkeypatch.setattr(cache_module, "remove", lambda _path: None)  # as in a sticky folder

    bring(store, target, cache)

    assert intact(target / "tiny")
    assert (broken / "model.onnx").read_bytes() == b"bad"
    assert UNUSABLE in capsys.readouterr().out


def test_a_cache_that_a_neighbour_has_filled_is_done_without(
    store, target, cache, monkeypatch, capsys
):
    real = download_module.shutil.disk_usage

    def usage(folder):
        return real(folder)._replace(free=0) if cache in folder.parents else real(folder)

    monkeypatch.setattr(download_module.shutil, "disk_usage", usage)

    bring(store, target, cache)

    assert intact(target / "tiny")
    assert UNUSABLE in capsys.readouterr().out


def test_a_bundle_changed_in_the_cache_while_it_is_published_is_downloaded_without(
    store, target, cache, monkeypatch, capsys
):
    real = cache_module.publish_downloaded

    def publish(remote, folder, place):
        (folder / "model.onnx").write_bytes(b"changed")
        real(remote, folder, place)

    monkeypatch.setattr(cache_module, "publish_downloaded", publish)

    bring(store, target, cache)

    assert intact(target / "tiny")
    assert UNUSABLE in capsys.readouterr().out


def test_a_broken_bundle_of_the_store_is_downloaded_once(store, target, cache):
    (store.folder / "tone" / "tiny" / "model.onnx").write_bytes(b"bad")

    with pytest.raises(cache_module.BundleError, match="does not match"):
        bring(store, target, cache)

    assert store.asked.count("tone/tiny/model.onnx") == 1
