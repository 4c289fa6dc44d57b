"""Networks that reset, delay, half-close, trickle and lose, and clients that behave like it.

The six clients are elsewhere in the network and must not notice; what the proxy's own client gets
is noted.
"""

import contextlib
import socket
import time

import grpc

from tests.benchmarks.faults.limit_faults import connections
from tests.benchmarks.faults.outcome import STAYS_LIVE, STAYS_READY, answered, recovers
from tests.benchmarks.faults.proxy import Link, proxied
from tests.benchmarks.faults.scene import fault
from tests.support.http2_frames import begun
from tests.support.processes import free_port
from tests.support.raw_http import head, read, request

UNTOUCHED = (answered(), recovers(0.5), STAYS_LIVE, STAYS_READY)
PAIR = {"http_processes": 2}
WHOLE = b"".join(request())
IDLE, SLOW, READERS, DEAF = 1000, 600, 50, 60
OWN_CONNECTION = [("grpc.use_local_subchannel_pool", 1)]
FAULT_S = 2.0


def through(name, link, *, works):
    """A fault of the network between the server and some clients."""

    def inject(scene):
        scene.injected()
        statuses = []
        with proxied(scene.port, link) as port:
            until_s = time.monotonic() + FAULT_S
            while time.monotonic() < until_s:
                statuses.append(_ask(port))
            scene.notes.append(f"through it: {dict.fromkeys(statuses)}"[:60])
        scene.require(not works or set(statuses) == {200}, "each request through it is answered")

    inject.__module__ = __name__
    fault(f"network {name}", *UNTOUCHED)(inject)
    if link.reset_after:
        fault(f"network {name}, HTTP processes", *UNTOUCHED, **PAIR)(inject)


def _ask(port):
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=1) as connection:
            connection.sendall(WHOLE)
            return read(connection)[0]
    except (OSError, AssertionError) as error:
        return type(error).__name__


through("resets connections in the middle of a request", Link(reset_after=60), works=False)
through("resets connections before the answer", Link(reset_after=len(WHOLE)), works=False)
through("delays each way by 200 ms", Link(delay_s=0.2), works=True)
through("half-closes after the request", Link(half_close=len(WHOLE)), works=True)
through("trickles, 20 bytes every 10 ms", Link(piece=20, delay_s=0.01), works=True)
through("loses all after 60 bytes", Link(lose_after=60), works=False)


@fault(f"{IDLE} idle connections", *UNTOUCHED)
@fault(f"{IDLE} idle connections, HTTP processes", *UNTOUCHED, **PAIR)
def idle(scene):
    scene.injected()
    opened = connections(scene.port, IDLE)
    scene.notes.append(f"{len(opened)} connected")
    scene.watch(FAULT_S)
    for each in opened:
        each.close()


@fault(f"{SLOW} bodies that come slowly", *UNTOUCHED)
@fault(f"{SLOW} bodies that come slowly, HTTP processes", *UNTOUCHED, **PAIR)
def slow_bodies(scene):
    scene.injected()
    opened = connections(scene.port, SLOW)
    for each in opened:
        with contextlib.suppress(OSError):
            each.sendall(head(size=1000) + b"{")
    until_s = time.monotonic() + FAULT_S
    while time.monotonic() < until_s:
        for each in opened[:: SLOW // 100]:
            with contextlib.suppress(OSError):
                each.sendall(b" ")
        time.sleep(0.1)
    for each in opened:
        each.close()


@fault(f"{READERS} clients that do not read their answers", *UNTOUCHED)
def slow_readers(scene):
    texts = b'{"texts": [' + b", ".join([b'"good film"'] * 256) + b"]}"
    whole = b"".join(request(body=texts))
    scene.injected()
    opened = connections(scene.port, READERS)
    for each in opened:
        with contextlib.suppress(OSError):
            each.sendall(whole)
    scene.watch(FAULT_S)
    for each in opened:
        each.close()


@fault(f"{DEAF} clients that pipeline 9,000 requests each and read no answer", *UNTOUCHED)
def pipelined(scene):
    scene.injected()
    opened = connections(scene.port, DEAF)
    for each in opened:
        each.setblocking(False)
        with contextlib.suppress(OSError):
            each.send(b"GET / HTTP/1.1\r\nHost:\r\n\r\n" * 9000)
    scene.watch(FAULT_S)
    for each in opened:
        each.close()


def with_grpc(_place):
    port = free_port()
    return {"grpc_port": port, "kept": port, "prefix": ("prlimit", "--nofile=256")}


@fault("silent gRPC connections take all places, 256 descriptors", *UNTOUCHED, prepare=with_grpc)
def silent_grpc(scene):
    def answered():
        with grpc.insecure_channel(f"127.0.0.1:{scene.kept}", options=OWN_CONNECTION) as opened:
            ask = opened.unary_unary("/inference.GRPCInferenceService/ServerLive")
            with contextlib.suppress(grpc.RpcError):
                return ask(b"", timeout=2) is not None
        return False

    scene.require(answered(), "gRPC answers before")
    scene.injected()
    opened = []
    for _ in range(100):
        with contextlib.suppress(OSError):
            opened.append(begun(scene.kept))
    scene.require(not answered(), "the silent connections take all places")
    scene.until(answered, "a new gRPC client is answered", 25)
    for each in opened:
        each.close()


@fault("connections opened and reset as fast as one client can", *UNTOUCHED)
@fault("connections opened and reset as fast as one client can, HTTP processes", *UNTOUCHED, **PAIR)
def storm(scene):
    scene.injected()
    count, until_s = 0, time.monotonic() + FAULT_S
    while time.monotonic() < until_s:
        with (
            contextlib.suppress(OSError),
            socket.create_connection(("127.0.0.1", scene.port)) as it,
        ):
            it.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            it.sendall(WHOLE[:100])
        count += 1
        time.sleep(0.001)
    scene.notes.append(f"{count} connections")


@fault("bytes that are no HTTP", *UNTOUCHED)
def garbage(scene):
    scene.injected()
    until_s = time.monotonic() + FAULT_S
    while time.monotonic() < until_s:
        for each in (
            b"\x16\x03\x01\x02\x00",
            b"\0" * 1000,
            b"GET\r\n\r\n",
            b"PRI * HTTP/2.0\r\n\r\n",
        ):
            with (
                contextlib.suppress(OSError),
                socket.create_connection(("127.0.0.1", scene.port)) as it,
            ):
                it.sendall(each)
        time.sleep(0.01)
