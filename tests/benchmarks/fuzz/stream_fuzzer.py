"""Streams of Envoy's external processor: its messages in any order and number, mutated."""

import json

import grpc

from serving.protocols.ext_proc.messages import BUFFERED, BUFFERED_PARTIAL, FULL_DUPLEX, message
from serving.protocols.ext_proc.processor import PATH
from tests.benchmarks.fuzz import nasty
from tests.benchmarks.fuzz.byte_fuzzer import mutated

LEAVING_SHARE = 0.03
_STREAMED = 1
_MODES = [BUFFERED, BUFFERED, BUFFERED_PARTIAL, FULL_DUPLEX, _STREAMED, 0, 9]
_OTHER_PHASES = ["request_trailers", "response_headers", "response_body", "response_trailers"]
_WROTE_LATE = "Internal error from Core"
_BUGS = {"internal_error", "engine_failed"}


def messages_of(rng):
    """The messages of one stream."""
    mode, usual = rng.choice(_MODES), rng.random() < 0.5
    body = _body(rng)
    if not usual:
        body = mutated(rng, body, rng.choice((1, 2, 8)))
    cuts = sorted(rng.randrange(len(body) + 1) for _ in range(rng.choice((0, 0, 1, 3, 40))))
    pieces = [body[a:b] for a, b in zip([0, *cuts], [*cuts, len(body)], strict=True)]
    chunks = [_request(request_body={"body": piece}) for piece in pieces]
    chunks[-1] = _request(request_body={"body": pieces[-1], "end_of_stream": True})
    sent = [_head(rng, mode), *chunks]
    if not usual:
        for _ in range(rng.choice((0, 1, 3, 100))):
            other = rng.choice((*sent[:2], _request(**{rng.choice(_OTHER_PHASES): {}}), b""))
            sent.insert(rng.randrange(len(sent) + 1), other)
        if rng.random() < 0.3:
            at = rng.randrange(len(sent))
            sent[at] = mutated(rng, sent[at], rng.choice((1, 2, 8)))
    return sent


def _request(**fields):
    return message("ProcessingRequest")(**fields).SerializeToString()


def _head(rng, mode):
    named = {b"content-type": b"application/json"}
    if rng.random() < 0.2:
        name = rng.choice((b"content-type", b"content-encoding", b"x-request-id", b"a\xff"))
        named[name] = rng.choice((b"gzip", b"text/plain", b"\xff\x00", b"x" * 5000, b""))
    headers = [{"key": name, "raw_value": value} for name, value in named.items()]
    return _request(
        request_headers={"headers": {"headers": headers}, "end_of_stream": rng.random() < 0.05},
        protocol_config={"request_body_mode": mode},
    )


def _body(rng):
    text = rng.choice(nasty.TEXTS) if rng.random() < 0.3 else "good film, bad plot"
    role = rng.choice(("user", "user", "system", "tool", "other"))
    parts = [{"type": rng.choice(("text", "image_url", "odd")), "text": text}]
    content = rng.choice((text, text, parts, None))
    return json.dumps(
        rng.choice(
            (
                {"messages": [{"role": role, "content": content}] * rng.choice((1, 2, 300))},
                {"prompt": rng.choice((text, [text, text]))},
                {"input": rng.choice((text, [{"role": role, "content": content}]))},
                {"model": text},
            )
        )
    ).encode()


async def answers_of(channel, sent, metadata, *, leaves):
    """What comes back, as far as it goes; who `leaves` cancels once all is sent.

    To write to a stream that the server has ended is an INTERNAL error, but grpcio's own.
    """
    call = channel.stream_stream(PATH)(metadata=metadata)
    try:
        for each in sent:
            await call.write(each)
        if leaves:
            call.cancel()
            return []
        await call.done_writing()
    except grpc.aio.AioRpcError as error:
        if error.details() == _WROTE_LATE:
            return []
        raise
    return [answer async for answer in call]


def fault_of(answers):
    """What is wrong with the answers; "" if nothing is."""
    for answer in answers:
        reply = message("ProcessingResponse").FromString(answer)
        if reply.WhichOneof("response") == "immediate_response":
            error = json.loads(reply.immediate_response.body)["error"]
            if error["code"] in _BUGS:
                return f"{reply.immediate_response.status.code} {error}"
    return ""
