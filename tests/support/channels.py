"""Ends of channels whose messages a test reads."""

import asyncio


class Inbox:
    """Opens a channel and keeps what the other end sends."""

    def __init__(self, channel):
        self.frames = []
        self._messages = asyncio.Queue()
        channel.open(self)

    async def messages(self):
        """Each message, until the other end goes."""
        while (message := await self._messages.get()) is not None:
            yield message

    def on_message(self, *message):
        self._messages.put_nowait(message)

    def on_frame(self, kind, body):
        self.frames.append((kind, bytes(body)))

    def turn(self):
        return ()

    def on_lost(self):
        self._messages.put_nowait(None)
