"""What an HTTP process keeps of versions that come and go."""

import asyncio
import errno
import threading

import pytest

from serving.batching.queue import Flow
from serving.bundles.bundle import key, read_bundle
from serving.bundles.traffic import Deployment, Deployments
from serving.errors import BundleError, EngineFailed
from serving.inference.inputs import Encoding
from serving.runtime import remote as module
from serving.runtime.interface import Running
from serving.runtime.remote import RemoteRuntime
from tests.support.batchers import terms
from tests.support.bundles import write_bundle
from tests.support.cascades import cascade_of
from tests.support.channels import Inbox, channel_pair

RUNNING = Running("onnxruntime", "", "", 64, text_ms=1.0)


def deployments(folder, revision):
    """A family of one version of its own."""
    write_bundle(folder, scale=1.0 + revision)
    bundle = read_bundle(folder)
    return bundle, Deployments({"tone": {"tiny": Deployment(bundle)}}, revision=revision)


async def send(channel, bundle, newest):
    channel.send("deployments", newest, {key(bundle): RUNNING})


def test_the_number_of_a_version_that_has_gone_is_given_to_another(tmp_path):
    async def scenario():
        async with asyncio.timeout(30), channel_pair() as (ours, theirs):
            inbox, remote = Inbox(ours), RemoteRuntime(theirs)
            following = remote.follow()
            for revision in range(5):
                bundle, newest = deployments(tmp_path / str(revision), revision)
                await send(ours, bundle, newest)
                await anext(following)
                future = remote.submit(
                    key(bundle), [Encoding([revision], 1)], terms(flow=Flow("a"))
                )
                future.cancel()
            await following.aclose()
            ours.abort()
            named = [rest async for kind, *rest in inbox.messages() if kind == "name"]
            numbers = [number for number, name in named if not isinstance(name, Flow)]

            assert [len(each) for each in (remote.running, remote.tokenizers)] == [2, 2]
            assert numbers[:4] == [1, 2, 1, 2]

    asyncio.run(scenario())


def test_what_is_still_served_stays_known_while_newer_versions_come(tmp_path):
    async def scenario():
        async with asyncio.timeout(30), channel_pair() as (ours, theirs):
            Inbox(ours)
            remote = RemoteRuntime(theirs)
            following = remote.follow()
            first, its = deployments(tmp_path / "first", 1)
            second, newer = deployments(tmp_path / "second", 2)
            await send(ours, first, its)
            await anext(following)
            await send(ours, second, newer)
            while key(second) not in remote.running:  # noqa: ASYNC110
                await asyncio.sleep(0.001)
            # The tokenizer of the second one is still being opened.
            opening = asyncio.create_task(anext(following))
            await asyncio.sleep(0)
            known = key(first) in remote.running
            await opening
            assert known
            assert key(first) in remote.running

    asyncio.run(scenario())


def test_versions_that_come_back_while_memory_is_returned_are_known(tmp_path, monkeypatch):
    returning, go_on = threading.Event(), threading.Event()

    def return_slowly():
        returning.set()
        go_on.wait(30)

    async def scenario():
        monkeypatch.setattr(module, "return_freed", return_slowly)
        bundles, families = {}, {}
        for family in ("mood", "taste", "tone"):
            write_bundle(tmp_path / family, family=family)
            bundles[family] = read_bundle(tmp_path / family)
            families[family] = {"tiny": Deployment(bundles[family])}
        running = {key(each): RUNNING for each in bundles.values()}
        async with asyncio.timeout(30), channel_pair() as (ours, theirs):
            Inbox(ours)
            remote = RemoteRuntime(theirs)
            following = remote.follow()
            for revision, names in ((1, families), (2, ["tone"])):
                newest = Deployments({name: families[name] for name in names}, revision=revision)
                ours.send("deployments", newest, running)
                await anext(following)
            back = asyncio.create_task(anext(following))
            await asyncio.to_thread(returning.wait, 30)
            remote._deploy(Deployments(families, revision=3), running)
            go_on.set()
            await back

            assert remote.running.keys() == running.keys()

    asyncio.run(scenario())


async def test_a_process_that_stays_too_short_to_open_a_tokenizer_follows_no_more(
    tmp_path, monkeypatch
):
    def short(_bundle):
        raise OSError(errno.EMFILE, "Too many open files")

    monkeypatch.setattr(module, "open_verified", short)
    async with asyncio.timeout(30), channel_pair() as (ours, theirs):
        Inbox(ours)
        remote = RemoteRuntime(theirs, load_timeout_s=0.05)
        await send(ours, *deployments(tmp_path / "tiny", 1))
        with pytest.raises(EngineFailed, match="Too many open files"):
            await anext(remote.follow())


async def test_what_cannot_be_opened_here_goes_alone_and_is_tried_again(tmp_path, monkeypatch):
    """The cascade stayed without its stage, which ended the process, and so its replacements."""
    bundles, broken = {}, {"wide", "canary"}
    for name, scale in (("tiny", 1.0), ("wide", 2.0), ("canary", 3.0)):
        variant = "tiny" if name == "canary" else name
        write_bundle(tmp_path / name, variant=variant, scale=scale)
        bundles[name] = read_bundle(tmp_path / name)
    versions = {name: bundles[name].manifest.version for name in ("tiny", "wide")}
    tiny = Deployment(bundles["tiny"], canary=bundles["canary"], weight=0.1)
    all_of_it = Deployments(
        {"tone": {"tiny": tiny, "wide": Deployment(bundles["wide"])}},
        cascades={"tone": cascade_of(versions)},
        revision=1,
    )
    opened = module.open_verified

    def open_some(bundle):
        if any(bundle == bundles[name] for name in broken):
            raise BundleError("it cannot be read")
        return opened(bundle)

    monkeypatch.setattr(module, "open_verified", open_some)
    monkeypatch.setattr(module, "_AGAIN_S", 0.05)
    async with asyncio.timeout(30), channel_pair() as (ours, theirs):
        Inbox(ours)
        following = RemoteRuntime(theirs).follow()
        ours.send("deployments", all_of_it, {key(each): RUNNING for each in bundles.values()})
        without_it = await anext(following)
        broken.clear()
        whole = await anext(following)

    assert without_it.families == {"tone": {"tiny": Deployment(bundles["tiny"])}}
    assert without_it.cascades == {}
    assert whole == all_of_it
