"""A registry that has lost every bundle, as the folder of a volume that is unmounted."""

import asyncio
from contextlib import asynccontextmanager

import pytest

from serving.runtime.local import LocalRuntime
from serving.runtime.reconciler import Reconciler
from serving.settings import Settings
from tests.support.batchers import wait_until
from tests.support.bundles import write_bundle
from tests.support.null_serving import NullEngine


@pytest.fixture
def registry(tmp_path):
    for family in ("mood", "taste", "tone"):
        write_bundle(tmp_path / "registry" / family / "tiny", family=family)
    return tmp_path / "registry"


async def followed(runtime):
    async for _ in runtime.follow():
        pass


@asynccontextmanager
async def loaded(*registries, **more):
    """A reconciler that has loaded what is there, and its runtime, which is followed."""
    settings = Settings(registry=registries, engine="onnxruntime", threads=1, **more)
    runtime = LocalRuntime(settings, {"onnxruntime": NullEngine})
    reconciler = Reconciler(settings, runtime)
    following = asyncio.create_task(followed(runtime))
    await reconciler.load()
    yield reconciler, runtime
    following.cancel()
    runtime.close()


def empty(registry, tmp_path):
    registry.rename(tmp_path / "away")
    registry.mkdir()


def refill(registry, tmp_path):
    registry.rmdir()
    (tmp_path / "away").rename(registry)


async def test_what_rests_goes_on_resting_though_it_is_asked_for_and_loads_once_it_is_back(
    registry, tmp_path
):
    async with loaded(registry, memory_bytes=1) as (reconciler, runtime):
        (name,) = before = reconciler.served.families
        resting = reconciler.served.resting
        empty(registry, tmp_path)
        for asked in sorted(resting):
            runtime.wake(asked)
            await reconciler.rescan()
            await reconciler._check_files()
            assert reconciler.served.families == before
            assert reconciler.served.resting == resting
            assert list(reconciler.served.refused) == [str(registry)]
        assert [each.manifest.family for each in runtime._bundles.values()] == [name]
        assert runtime.used_s.keys() == resting
        refill(registry, tmp_path)
        await reconciler.rescan()

        assert not reconciler.served.refused
        assert reconciler.served.families.keys() == {asked}


async def test_a_registry_whose_families_all_rest_or_are_unloaded_is_refused_too(
    registry, tmp_path
):
    async with loaded(registry) as (reconciler, _):
        for name in ("mood", "taste", "tone"):
            await reconciler.unload(name)
        empty(registry, tmp_path)
        await reconciler.reload("tone")
        assert reconciler.served.unloaded == {"mood", "taste", "tone"}
        assert list(reconciler.served.refused) == [str(registry)]
        refill(registry, tmp_path)
        await reconciler.rescan()

        assert reconciler.served.families.keys() == {"tone"}
        assert reconciler.served.unloaded == {"mood", "taste"}


async def test_an_operator_can_unload_what_goes_on(registry, tmp_path):
    async with loaded(registry) as (reconciler, runtime):
        empty(registry, tmp_path)
        await reconciler.unload("tone")
        assert reconciler.served.families.keys() == {"mood", "taste"}
        await wait_until(lambda: len(runtime.running) == 2)


async def test_other_registries_are_followed_meanwhile(registry, tmp_path):
    other = tmp_path / "other"
    write_bundle(other / "wit" / "tiny", family="wit")
    async with loaded(registry, other) as (reconciler, _):
        before = reconciler.served.families
        empty(registry, tmp_path)
        write_bundle(other / "zest" / "tiny", family="zest")
        await reconciler.rescan()

        assert reconciler.served.families.keys() == {*before, "zest"}
        assert list(reconciler.served.refused) == [str(registry)]


async def test_a_registry_of_which_nothing_was_served_may_become_empty(registry, tmp_path):
    other = tmp_path / "other"
    (other / "broken" / "tiny").mkdir(parents=True)
    (other / "broken" / "tiny" / "manifest.json").write_text("{}")
    async with loaded(registry, other) as (reconciler, _):
        assert reconciler.served.refused
        (other / "broken").rename(tmp_path / "away")
        await reconciler.rescan()

        assert not reconciler.served.refused


async def test_a_registry_whose_only_family_cannot_be_read_is_not_empty(registry, tmp_path):
    for name in ("mood", "taste"):
        (registry / name).rename(tmp_path / name)
    async with loaded(registry) as (reconciler, _):
        before = reconciler.served.families
        (registry / "tone").rename(tmp_path / "tone")
        (registry / "tone").symlink_to(registry / "tone")
        await reconciler.rescan()
        await reconciler._check_files()

        assert list(reconciler.served.refused) == [str(registry / "tone")]
        assert reconciler.served.families == before
