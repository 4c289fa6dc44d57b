"""What Envoy says of a request, and what it is told, in protobuf's JSON."""

import base64
import json
import tempfile
import threading

from serving.protocols.ext_proc.messages import message
from serving.protocols.ext_proc.processor import PATH
from tests.support.clients import ask
from tests.support.metric_values import total

BUFFERED, STREAMED, PARTIAL, DUPLEX = [
    "BUFFERED",
    "STREAMED",
    "BUFFERED_PARTIAL",
    "FULL_DUPLEX_STREAMED",
]


def base64_of(content):
    return base64.b64encode(content).decode()


def head(mode=BUFFERED, *, ends=False, **headers):
    named = {"content-type": "application/json"} | headers
    return {
        "protocol_config": {"request_body_mode": mode},
        "request_headers": {
            "headers": {
                "headers": [
                    {"key": name.replace("_", "-"), "raw_value": base64_of(value.encode())}
                    for name, value in named.items()
                ]
            },
            "end_of_stream": ends,
        },
    }


def chunk(body, *, ends=True):
    return {"request_body": {"body": base64_of(body), "end_of_stream": ends}}


def chat(*texts):
    messages = [{"role": "user", "content": text} for text in texts]
    return json.dumps({"model": "m", "messages": messages}).encode()


def told(port, *streams, key=()):
    """What each stream's answers say, as `said` puts it."""
    with tempfile.NamedTemporaryFile("w") as file:
        json.dump(streams, file)
        file.flush()
        got = ask("ext_proc", f"127.0.0.1:{port}", file.name, *key)
    return [[said(answer) for answer in answers] for answers in got]


def said(answer):
    """(phase, our headers) of what goes on, (status, error's code) of what does not, or gRPC's."""
    if isinstance(answer, str):
        return answer
    ((phase, reply),) = answer.items()
    if phase == "immediate_response":
        content = json.loads(base64.b64decode(reply["body"]))
        return reply["status"]["code"], content["error"]["code"]
    response = reply.get("response", {})
    if streamed := response.get("body_mutation", {}).get("streamed_response"):
        return (
            phase,
            base64.b64decode(streamed.get("body", "")),
            streamed.get("end_of_stream", False),
        )
    changed = response.get("header_mutation", {}).get("set_headers", [])
    return phase, {
        each["header"]["key"].removeprefix("x-sizewise-"): base64.b64decode(
            each["header"]["raw_value"]
        ).decode()
        for each in changed
    }


def lines(server):
    """The log lines of a server about streams of the external processor."""
    logged = [json.loads(line) for line in server.log().splitlines() if line.startswith("{")]
    return [line for line in logged if line.get("path") == PATH]


def counted(server, **labels):
    """How many requests a server has checked with these labels."""
    return total(server.metrics(), "sizewise_checked_requests_total", **labels)


class stream:  # noqa: N801  a call
    """A stream that is sent one message at a time."""

    def __init__(self, opened, *metadata):
        self._sent = []
        self._more = threading.Semaphore(0)
        self._replies = opened.stream_stream(
            PATH,
            request_serializer=lambda sent: sent,
            response_deserializer=message("ProcessingResponse").FromString,
        )(self._messages(), metadata=metadata, timeout=30)

    def _messages(self):
        while True:
            self._more.acquire()
            if (sent := self._sent.pop(0)) is None:
                return
            yield sent

    def send(self, raw=b"", **fields):
        self._sent.append(raw or message("ProcessingRequest")(**fields).SerializeToString())
        self._more.release()

    def end(self):
        self._sent.append(None)
        self._more.release()

    def reply(self):
        return next(self._replies)

    def cancel(self):
        self._replies.cancel()
