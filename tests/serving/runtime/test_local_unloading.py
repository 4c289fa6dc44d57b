"""Versions that are wanted again while they, or others, are unloaded."""

import asyncio
from collections import defaultdict

import pytest

from serving.batching.batcher import Batcher
from serving.bundles.bundle import key, read_bundle
from serving.bundles.traffic import Deployment, Deployments
from serving.runtime.local import LocalRuntime
from serving.settings import Settings
from tests.support.bundles import write_bundle
from tests.support.null_serving import NullEngine


def deployments(bundles, revision):
    families = {each.manifest.family: {"tiny": Deployment(each)} for each in bundles}
    return Deployments(families, revision=revision)


@pytest.fixture
def bundles(tmp_path):
    made = []
    for family in ("mood", "taste", "tone"):
        write_bundle(tmp_path / family / "tiny", family=family)
        made.append(read_bundle(tmp_path / family / "tiny"))
    return made


@pytest.mark.parametrize("again", [0, 1], ids=["the one being unloaded", "the one after it"])
async def test_what_is_wanted_again_during_an_unload_is_loaded_when_it_is_served(
    bundles, monkeypatch, again
):
    removing, go_on, remove = asyncio.Queue(), asyncio.Event(), Batcher.remove

    async def remove_later(batcher, variant):
        removing.put_nowait(variant)
        await go_on.wait()
        await remove(batcher, variant)

    monkeypatch.setattr(Batcher, "remove", remove_later)
    runtime = LocalRuntime(Settings(), defaultdict(lambda: NullEngine))
    following = runtime.follow()
    async with asyncio.timeout(30):
        for each in bundles:
            await runtime.load(each)
        await runtime.serve(deployments(bundles, 1))
        await anext(following)
        await runtime.serve(deployments(bundles[2:], 2))
        await anext(following)
        unloading = asyncio.create_task(anext(following))
        first = await removing.get()
        wanted = next(each for each in bundles[:2] if (key(each) != first) == bool(again))
        loading = asyncio.create_task(runtime.load(wanted))
        await asyncio.wait((loading,), timeout=0.3)  # it may not end before the unload has
        go_on.set()
        await loading
        newest = deployments([wanted, bundles[2]], 3)
        await runtime.serve(newest)
        assert await unloading == newest

        assert runtime.running.keys() == runtime._batcher._engines.keys() == newest.bundles().keys()
        assert all(map(runtime.loaded, newest.bundles().values()))
    await following.aclose()
    runtime.close()


async def test_a_follower_that_goes_during_an_unload_leaves_the_rest_of_it_to_the_others(
    bundles, monkeypatch
):
    removing, remove = asyncio.Event(), Batcher.remove

    async def hang(*_):
        removing.set()
        await asyncio.Event().wait()

    runtime = LocalRuntime(Settings(), defaultdict(lambda: NullEngine))
    gone, other = runtime.follow(), runtime.follow()
    async with asyncio.timeout(30):
        for each in bundles:
            await runtime.load(each)
        for revision, served in ((1, bundles), (2, bundles[2:])):
            await runtime.serve(deployments(served, revision))
            await anext(other)
            await anext(gone)
        going_on = asyncio.create_task(anext(other))
        monkeypatch.setattr(Batcher, "remove", hang)
        ending = asyncio.create_task(anext(gone))
        await removing.wait()
        ending.cancel()
        await asyncio.wait((ending,))
        monkeypatch.setattr(Batcher, "remove", remove)
        await runtime.serve(deployments(bundles[2:], 3))
        await going_on
        going_on = asyncio.create_task(anext(other))
        while len(runtime.running) > 1:  # noqa: ASYNC110
            await asyncio.sleep(0.001)

        assert len(runtime._batcher._engines) == 1
    going_on.cancel()
    runtime.close()
