import asyncio

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
