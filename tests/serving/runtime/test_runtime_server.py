import asyncio

import pytest

from serving.access.api_keys import Caller
from serving.access.rate_limits import Limits
from serving.observability.metrics import Metrics
from serving.runtime.remote_recorder import RemoteRecorders
from serving.runtime.runtime_server import RuntimeServer
from tests.support.batchers import KEY, encoding, make, terms, wait_until
from tests.support.channels import Inbox, channel_pair
from tests.support.faults import StuckEngine
from tests.support.runtimes import BatcherRuntime


def run(scenario, engine=None):
    async def whole():
        batcher, _ = make(engine or StuckEngine(slots=1))
        async with asyncio.timeout(30), channel_pair() as (ours, theirs):
            server = RuntimeServer(ours, BatcherRuntime(batcher), RemoteRecorders(Metrics()))
            serving = asyncio.create_task(server.serve())
            await scenario(Inbox(theirs), theirs, server)
            theirs.abort()
            await serving
        batcher.close()

    asyncio.run(whole())


def test_a_request_that_is_recalled_is_known_while_it_runs_and_ended_if_it_is_queued():
    engine = StuckEngine(slots=1)

    async def scenario(inbox, channel, server):
        channel.send("submit", 0, KEY, [encoding(1)], terms())
        await wait_until(lambda: server._requests and not server._requests[0].texts[0].queued)
        channel.send("submit", 1, KEY, [encoding(2)], terms())
        for number in (0, 7, 1):
            channel.send("recall", number)
        unknown = await inbox.first("unknown", "error")
        queued = await inbox.first("unknown", "error")
        engine.release.set()

        assert unknown == ("unknown", [7])
        assert (queued[0], queued[1][0], queued[1][1].code) == ("error", 1, "deadline_missed")

    run(scenario, engine)


def test_a_sender_that_fails_is_told_and_ends_the_channel(monkeypatch, capsys):
    async def scenario(inbox, _channel, server):
        await inbox.first("state")
        monkeypatch.setattr(type(server._runtime), "trouble", property(lambda _: 1 / 0))
        async for _ in inbox.messages():
            pass

    run(scenario)

    assert '"a background task has failed","task":"sending the state"' in capsys.readouterr().out


def test_callers_whose_requests_have_ended_are_forgotten():
    async def scenario(inbox, channel, server):
        for number in range(100):
            caller = Caller(f"caller {number}", 3, Limits(max_requests=1))
            channel.send("enter", number, caller)
            assert await inbox.first("answer", "error") == ("answer", [number, None])
            channel.send("leave", caller)
        await wait_until(lambda: not server._entered)

    run(scenario)


def silent_after(number, *, revived):
    """What a server says of an HTTP process that falls silent, and whether it was given up."""
    given_up = asyncio.Event()

    async def whole():
        batcher, _ = make(StuckEngine(slots=1))
        async with asyncio.timeout(30), channel_pair() as (ours, theirs):
            runtime, recorders = BatcherRuntime(batcher), RemoteRecorders(Metrics())
            server = RuntimeServer(ours, runtime, recorders, on_hung=given_up.set, tick_s=0.02)
            serving = asyncio.create_task(server.serve())
            theirs.open(Inbox(theirs))
            for _ in range(number):
                theirs.send("alive")
            theirs.send("enter", 0, Caller("caller", 3, Limits(max_requests=1)))
            await wait_until(lambda: server._entered)
            if revived:
                await wait_until(lambda: server._silence.silent)
                theirs.send("alive")
                await wait_until(lambda: not server._silence.silent)
            if number:
                await serving
                assert not server._entered
            else:
                await asyncio.sleep(1)
                theirs.abort()
                await serving
        batcher.close()

    asyncio.run(whole())
    return given_up.is_set()


@pytest.mark.parametrize("revived", [False, True])
def test_an_http_process_that_stays_silent_is_given_up_with_all_that_it_holds(capsys, revived):
    assert silent_after(1, revived=revived)

    said = capsys.readouterr().out
    assert "an HTTP process is silent" in said
    assert ("an HTTP process is heard again" in said) == revived


def test_an_http_process_that_has_not_started_is_waited_for(capsys):
    assert not silent_after(0, revived=False)
    assert "silent" not in capsys.readouterr().out
