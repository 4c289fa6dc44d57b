import asyncio

from tests.support.channels import Inbox, channel_pair


def test_a_message_that_fails_costs_no_other_message():
    class Picky(Inbox):
        def on_message(self, *message):
            if message[0] == "bad":
                raise ValueError(message)
            super().on_message(*message)

    async def scenario():
        async with channel_pair() as (ours, theirs):
            inbox = Picky(ours)
            theirs.send("bad", 1)
            theirs.send("good", 2)
            assert await anext(inbox.messages()) == ("good", 2)
            theirs.send("good", 3)
            assert await anext(inbox.messages()) == ("good", 3)

    asyncio.run(scenario())


def test_what_arrives_before_a_channel_is_opened_is_kept_and_so_is_its_end():
    async def scenario():
        async with channel_pair() as (ours, theirs):
            theirs.send("early")
            theirs.close()
            await theirs.closed()
            await ours.closed()
            assert [message async for message in Inbox(ours).messages()] == [("early",)]

    asyncio.run(scenario())
