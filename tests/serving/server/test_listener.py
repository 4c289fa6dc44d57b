import asyncio
import socket

import uvloop

from serving.server.listener import open_listener, shares

CLIENTS = 64


def test_clients_that_connect_at_once_are_accepted_within_a_few_iterations_of_the_loop():
    """The iterations of a busy server take long, and a client waits for all of them."""

    async def iterations(listeners):
        accepted = []

        class Protocol(asyncio.Protocol):
            def connection_made(self, transport):
                accepted.append(transport)

        loop = asyncio.get_running_loop()
        servers = [await loop.create_server(Protocol, sock=each) for each in listeners]
        passed = 0
        async with asyncio.timeout(10):
            while len(accepted) < CLIENTS:
                passed += 1
                await asyncio.sleep(0)
        for each in (*servers, *accepted):
            each.close()
        return passed

    with open_listener("127.0.0.1", 0) as listener:
        clients = [socket.create_connection(listener.getsockname()) for _ in range(CLIENTS)]
        passed = uvloop.run(iterations(shares(listener)))
    for client in clients:
        client.close()
    assert passed <= CLIENTS / 8
