import asyncio
import socket
import time

import pytest

from serving.access.api_keys import Caller
from serving.errors import EngineFailed, NotReady
from serving.runtime.ipc import Channel
from serving.runtime.remote import RemoteRuntime
from serving.runtime.silence import Silence
from tests.support.batchers import KEY, encoding, terms, wait_until
from tests.support.channels import Inbox, channel_pair


async def test_a_process_that_stood_still_itself_does_not_take_that_for_silence():
    events = []
    silence = Silence(
        0.01,
        on_silent=lambda: events.append("silent"),
        on_gone=lambda: events.append("gone"),
        on_tick=lambda: events.append("tick"),
    )

    await wait_until(lambda: events)
    time.sleep(0.5)  # noqa: ASYNC251  fifty ticks' time
    await asyncio.sleep(0)
    stalled = list(events)
    await wait_until(lambda: "silent" in events)
    was_silent = silence.heard()
    again = silence.heard()
    await wait_until(lambda: "gone" in events)
    silence.end()

    assert set(stalled) == {"tick"}
    assert (was_silent, again) == (True, False)


def test_a_silent_engine_process_fails_what_waits_and_is_welcome_back():
    async def scenario():
        async with channel_pair() as (ours, theirs):
            Inbox(ours)
            remote = RemoteRuntime(theirs, tick_s=0.05)
            ours.send("state", "", remote.backlog())
            await wait_until(lambda: remote.alive)
            waiting = remote.submit(KEY, [encoding(1)], terms())
            with pytest.raises(NotReady, match="is silent"):
                await asyncio.wait_for(waiting, 20)
            silent = remote.alive, remote.trouble
            with pytest.raises(NotReady, match="is silent"):
                remote.submit(KEY, [encoding(1)], terms())
            ours.send("state", "", remote.backlog())
            await wait_until(lambda: remote.alive)
            remote.submit(KEY, [encoding(1)], terms()).cancel()
            assert not silent[0]
            assert "is silent" in silent[1]
            remote.close()

    asyncio.run(scenario())


def test_an_engine_process_that_stays_silent_is_gone_even_if_it_reads_nothing():
    async def scenario():
        ours, theirs = socket.socketpair()  # nobody reads the former
        with ours:
            remote = RemoteRuntime(await Channel.over(theirs), tick_s=0.01)
            future = remote.submit(KEY, [encoding(1)], terms())
            with pytest.raises(NotReady):
                await asyncio.wait_for(future, 20)
            await asyncio.wait_for(remote.gone.wait(), 20)

    asyncio.run(scenario())


def test_an_answer_that_was_lost_between_the_processes_is_an_error_soon_after_the_deadline():
    async def scenario():
        async with channel_pair() as (ours, theirs):
            inbox = Inbox(ours)
            remote = RemoteRuntime(theirs, tick_s=0.05)
            waiting = remote.submit(KEY, [encoding(1)], terms(0.01))
            _, recalled = await inbox.first("recall")
            assert recalled == [0]
            assert not waiting.done()
            ours.send("unknown", *recalled)
            with pytest.raises(EngineFailed, match="lost between two processes"):
                await asyncio.wait_for(waiting, 20)
            remote.close()

    asyncio.run(scenario())


def test_a_request_that_entered_while_the_engine_process_was_silent_leaves():
    async def scenario():
        async with channel_pair() as (ours, theirs):
            inbox = Inbox(ours)
            remote = RemoteRuntime(theirs, tick_s=0.05)
            ours.send("state", "", remote.backlog())
            await wait_until(lambda: remote.alive)
            caller = Caller("c")
            with pytest.raises(NotReady, match="is silent"):
                await asyncio.wait_for(remote.enter(caller), 20)
            ours.send("answer", 0, None)
            assert await inbox.first("leave") == ("leave", [caller])
            remote.close()

    asyncio.run(scenario())
