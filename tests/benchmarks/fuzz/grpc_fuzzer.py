"""gRPC calls with mutated messages, metadata and deadlines, and mutated HTTP/2 on the socket."""

import asyncio
import contextlib
import random

import grpc
import numpy as np

from serving.protocols.open_inference.grpc_messages import message
from tests.benchmarks.fuzz import nasty, stream_fuzzer
from tests.benchmarks.fuzz.byte_fuzzer import END, Exchange, mutated
from tests.benchmarks.fuzz.framing import Framing
from tests.benchmarks.fuzz.http_client import opened
from tests.benchmarks.fuzz.tally import Tally
from tests.support.http2_frames import PREFACE, SETTINGS, call_data, call_head, frame

CALLERS = 12
CHANNELS = 3
ANSWER_WITHIN_S = 45.0
SOCKETS_SHARE = 0.05
STREAMS_SHARE = 0.25
_SERVICE = "/inference.GRPCInferenceService/"
_METHODS = [
    f"{_SERVICE}ServerLive", f"{_SERVICE}ServerReady", f"{_SERVICE}ServerMetadata",
    f"{_SERVICE}ModelReady", f"{_SERVICE}ModelMetadata", "/grpc.health.v1.Health/Check",
    "/grpc.health.v1.Health/Watch", f"{_SERVICE}ModelStreamInfer", "/x.Y/Z",
]  # fmt: skip
INFER = f"{_SERVICE}ModelInfer"
_FAULTS = {"INTERNAL", "UNKNOWN", "DATA_LOSS", "ABORTED", "UNAVAILABLE", "FAILED_PRECONDITION"}
_NAMES = ["text", "text_pair", "x", "label", "probabilities", "", "none"]
_DATATYPES = ["BYTES", "FP32", "FP16", "INT8", "INT64", "UINT64", "BOOL", "FP64", "", "X"]
_PARAMETERS = ["truncate", "deadline_ms", "timeout", "priority", "allow_degraded", "other", ""]


def call_of(rng):
    """The method, the bytes, the metadata and the deadline of a call."""
    method = INFER if rng.random() < 0.85 else rng.choice(_METHODS)
    if method == INFER:
        sent = _infer(rng).SerializeToString()
    else:
        name, version = rng.choice(("tone", "none", "", "digits")), rng.choice(("", "tiny", "9"))
        sent = message("ModelRequest")(name=name, version=version).SerializeToString()
    if rng.random() < 0.35:
        sent = mutated(rng, sent, rng.choice((1, 2, 8)))
    metadata = []
    for _ in range(rng.choice((0, 0, 0, 1, 3))):
        name = rng.choice(("x-request-id", "traceparent", "priority", "cache-control", "x-bin"))
        value = rng.choice(("u=7", "no-cache", "x" * 500, "00-0-0-01", " ", "u=9,", "~"))
        metadata.append((name, value.encode() if name.endswith("-bin") else value))
    seconds = rng.choice((None, None, 10, 1, 0.05, 0.001))
    return method, sent, metadata, seconds


def _infer(rng):
    """A request of the protocol whose parts need not fit each other."""
    usual = rng.random() < 0.6
    infer = message("ModelInferRequest")(model_name=rng.choice(("tone", "same", "digits")))
    if rng.random() < 0.2:
        infer.model_name = rng.choice(("none", "", "\ufeff"))
        infer.model_version = rng.choice(("tiny", "mlp", "\u0000"))
    if rng.random() < 0.1:
        infer.id = rng.choice(("a", "\U0001f600" * 9, "b" * 1001))
    names = {"same": ["text", "text_pair"], "digits": ["x"]}.get(infer.model_name, ["text"])
    for name in names if usual else rng.choices(_NAMES, k=rng.choice((0, 1, 2, 5, 1001))):
        _tensor(rng, infer, name, usual=usual)
    for name in rng.choices(_PARAMETERS, k=rng.choice((0, 0, 0, 0, 1, 2))):
        _parameter(rng, infer.parameters.add(key=name).value)
    for name in rng.choices(_NAMES[3:], k=rng.choice((0, 0, 0, 0, 1, 2))):
        output = infer.outputs.add(name=name)
        if rng.random() < 0.5:
            key = rng.choice(("classification", "binary_data", "y"))
            _parameter(rng, output.parameters.add(key=key).value)
    return infer


def _tensor(rng, infer, name, *, usual):
    number = name == "x"
    kind = ("FP32" if number else "BYTES") if usual else rng.choice(_DATATYPES)
    rows = rng.choice((1, 1, 2, 2, 8, 8, 257)) if usual else 1
    shape = [rows, 3] if number else [rows]
    if rng.random() < 0.2:
        shape = rng.choice(([], [0], [-1], [2**63 - 1] * 2, [rows, 1], [1] * 17, [-(2**63)], [3]))
    tensor = infer.inputs.add(name=name, datatype=kind, shape=shape)
    texts = [b"good film", b"bad plot"] * rows
    if rng.random() < 0.3:
        texts[0] = rng.choice(nasty.TEXTS).encode()
    texts = texts[:rows]
    floats = [rng.choice((0.0, 1.5, 3e38, -0.0)) for _ in range(3 * rows)]
    if rng.random() < 0.2:
        floats[0] = rng.choice((float("nan"), float("inf")))
    if rng.random() < 0.4:
        raw = b"".join(len(each).to_bytes(4, "little") + each for each in texts)
        raw = np.array(floats, "<f4").tobytes() if number else raw
        infer.raw_input_contents.append(raw if usual else mutated(rng, raw, 1))
    elif number:
        tensor.contents.fp32_contents.extend(floats)
    else:
        tensor.contents.bytes_contents.extend(texts)
        if not usual and rng.random() < 0.3:
            tensor.contents.int64_contents.append(2**63 - 1)
            tensor.contents.uint_contents.append(2**32 - 1)


def _parameter(rng, value):
    kind = rng.randrange(6)
    if kind == 0:
        value.bool_param = rng.random() < 0.5
    elif kind == 1:
        value.int64_param = rng.choice((0, 1, -1, 500, 2**63 - 1, -(2**63)))
    elif kind == 2:
        value.string_param = rng.choice(nasty.TEXTS)
    elif kind == 3:
        value.double_param = rng.choice((0.5, float("nan"), float("inf"), 1e300))
    elif kind == 4:
        value.uint64_param = rng.choice((0, 2**64 - 1))


def frames_of(rng):
    """HTTP/2 with a request inside, mutated; the path stays UTF-8.

    grpcio's server ends at one that is not, and is made anew: another test has that.
    """
    path = INFER.encode()
    if rng.random() < 0.3:
        at = rng.randrange(len(path))
        path = path[:at] + bytes([rng.randrange(128)]) * rng.choice((1, 2, 60)) + path[at + 1 :]
    sent = _infer(rng).SerializeToString()[:10_000]
    streams = b"\x00\x03\x00\x00\x00\x64"
    before = PREFACE + frame(SETTINGS, 0, 0, streams if rng.random() < 0.5 else b"")
    after = call_data(sent)
    for _ in range(rng.choice((0, 1, 5))):
        kind, flags, stream = rng.randrange(12), rng.randrange(256), rng.choice((0, 1, 2, 3))
        extra = frame(kind, flags, stream, rng.randbytes(rng.choice((0, 4, 8, 300))))
        before, after = (before + extra, after) if rng.random() < 0.5 else (before, extra + after)
    if rng.random() < 0.3:
        before = mutated(rng, before, 1)
    return before + call_head(path) + mutated(rng, after, rng.choice((0, 1, 4)))


async def share(target, seed, numbers):
    """Call with the requests of these numbers; what came of them."""
    tally, remaining = Tally(), iter(numbers)
    options = [("grpc.use_local_subchannel_pool", 1), ("grpc.max_receive_message_length", 1 << 26)]
    async with contextlib.AsyncExitStack() as stack:
        channels = [
            await stack.enter_async_context(
                grpc.aio.insecure_channel(f"127.0.0.1:{target.grpc_port}", options=options)
            )
            for _ in range(CHANNELS)
        ]

        async def caller(turn):
            for number in remaining:
                rng = random.Random(f"{seed}/{target.part}/grpc/{number}")
                drawn = rng.random()
                if drawn < SOCKETS_SHARE:
                    await _frames(target, seed, number, frames_of(rng), tally)
                elif drawn < SOCKETS_SHARE + STREAMS_SHARE:
                    await _stream(channels[turn % CHANNELS], target, rng, tally, (seed, number))
                else:
                    call = call_of(rng)
                    await _call(channels[turn % CHANNELS], target, call, tally, (seed, number))

        await asyncio.gather(*(caller(turn) for turn in range(CALLERS)))
    return tally


async def _call(channel, target, call, tally, place):
    method, sent, metadata, seconds = call
    seed, number = place
    metadata = [*metadata, *((name.lower(), value) for name, value in target.headers)]
    stub = channel.unary_unary(method)
    tally.requests += 1
    try:
        async with asyncio.timeout(ANSWER_WITHIN_S):
            await stub(sent, metadata=metadata, timeout=seconds)
        code, details = "OK", ""
    except TimeoutError:
        code, details = "hang", ""
    except grpc.aio.AioRpcError as error:
        code, details = error.code().name, error.details()
    tally.count(_AS_STATUS.get(code, "400"))
    if code == "hang" or code in _FAULTS:
        exchange = Exchange([sent], END, Framing(), about=f"{method} {metadata} {seconds}")
        what = code if code == "hang" else f"gRPC {code}: {details}"
        tally.fault(what, part=target.part, seed=seed, number=number, exchange=exchange)


async def _stream(channel, target, rng, tally, place):
    sent, leaves = stream_fuzzer.messages_of(rng), rng.random() < stream_fuzzer.LEAVING_SHARE
    metadata = [(name.lower(), value) for name, value in target.headers]
    tally.requests += 1
    code, what = "OK", ""
    try:
        async with asyncio.timeout(ANSWER_WITHIN_S):
            work = stream_fuzzer.answers_of(channel, sent, metadata, leaves=leaves)
            what = stream_fuzzer.fault_of(await work)
    except TimeoutError:
        code = what = "hang"
    except grpc.aio.AioRpcError as error:
        code = error.code().name
        what = f"gRPC {code}: {error.details()}" if code in _FAULTS else ""
    tally.count(_AS_STATUS.get(code, "400"))
    if what:
        exchange = Exchange(sent, END, Framing(), about=stream_fuzzer.PATH)
        seed, number = place
        tally.fault(what, part=target.part, seed=seed, number=number, exchange=exchange)


_AS_STATUS = {
    "OK": "200", "INVALID_ARGUMENT": "400", "NOT_FOUND": "404", "UNAUTHENTICATED": "401",
    "RESOURCE_EXHAUSTED": "429", "DEADLINE_EXCEEDED": "504", "UNAVAILABLE": "503",
    "INTERNAL": "500", "UNKNOWN": "500", "DATA_LOSS": "500", "ABORTED": "500",
}  # fmt: skip


async def _frames(target, seed, number, content, tally):
    """Send HTTP/2 by hand, then end: the server must close."""
    tally.requests += 1
    tally.unanswered += 1
    exchange = Exchange([content], END, Framing(), about="HTTP/2")
    try:
        connection = await opened(target.grpc_port)
    except OSError as error:
        what = f"no connection: {error}"
    else:
        what = await _ended(connection, content)
    if what:
        tally.fault(what, part=target.part, seed=seed, number=number, exchange=exchange)


async def _ended(connection, content):
    transport = connection.transport
    connection.data_received = lambda _data: None
    transport.write(content)
    with contextlib.suppress(OSError):  # it may be closed already
        transport.write_eof()
    try:
        async with asyncio.timeout(ANSWER_WITHIN_S):
            while not connection.ended:
                await connection.change()
    except TimeoutError:
        return "hang"
    finally:
        transport.abort()
    return ""
