"""What gRPC clients have yet to read is bounded, and one that reads is answered."""

import asyncio

import pytest

from serving.errors import Overloaded
from serving.protocols.grpc.unread_answers import _CALL_BYTES, UnreadAnswers

MOST = 1_000_000
LARGE = b"." * (100_000 - _CALL_BYTES)


class Calls:
    """Calls whose answers are unread until they are `read`."""

    def __init__(self):
        self.unread = UnreadAnswers(MOST)
        self._calls = []

    async def answer(self, connection, content=LARGE):
        """Whether it is answered."""
        done, answered = asyncio.Event(), asyncio.get_running_loop().create_future()

        async def call():
            try:
                self.unread.check_share(connection)
                self.unread.add(connection, content)
            except Overloaded:
                answered.set_result(False)
            else:
                answered.set_result(True)
                await done.wait()

        task = asyncio.create_task(call())
        self._calls.append((connection, task, done))
        return await answered

    async def read(self, connection):
        for whose, task, done in self._calls:
            if whose == connection:
                done.set()
                await task


@pytest.fixture
async def calls():
    made = Calls()
    yield made
    for whose, _, _ in list(made._calls):
        await made.read(whose)


async def until_refused(calls, connection, content=LARGE):
    answered = 0
    while await calls.answer(connection, content):
        answered += 1
    return answered


async def test_a_connection_that_reads_nothing_gets_its_share_and_no_more(calls):
    assert await until_refused(calls, "silent") == 6
    assert await until_refused(calls, "silent too") == 3
    assert not await calls.answer("silent")


async def test_a_connection_that_reads_is_answered_whatever_others_do_not_read(calls):
    for number in range(30):
        await until_refused(calls, f"silent {number}", b"")

    for _ in range(20):
        assert await calls.answer("reads", b"small")
        await calls.read("reads")


async def test_large_answers_stay_within_the_bound_however_many_connections_there_are(calls):
    answered = [await calls.answer(f"silent {number}") for number in range(50)]

    assert sum(answered) == 10
    await calls.read("silent 3")
    assert await calls.answer("another")


async def test_nothing_is_kept_of_what_has_been_read(calls):
    for number in range(200):
        assert await calls.answer(f"connection {number}")
        await calls.read(f"connection {number}")
    await asyncio.sleep(0)

    assert not calls.unread._by_connection
    assert calls.unread._bytes == 0
