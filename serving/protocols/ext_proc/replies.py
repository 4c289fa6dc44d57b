"""What Envoy is told: to let a request go on, with which headers, or to answer it at once. Pure."""

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from serving.protocols.ext_proc.messages import OVERWRITE, message
from serving.protocols.ext_proc.verdict import Verdict
from serving.protocols.openai_errors import (
    INVALID_REQUEST,
    SERVER,
    code_of,
    openai_error,
    openai_error_of,
)

FLAGGED, LABEL, SCORE = "x-sizewise-flagged", "x-sizewise-label", "x-sizewise-score"
FAILURE = "x-sizewise-failure"
# Sent by a client they would pass for ours, so what is not set is removed.
_HEADERS = (FLAGGED, LABEL, SCORE, FAILURE)
_BLOCKED_STATUS, _UNCHECKED_STATUS = 403, 503
_CHUNK_BYTES = 65_536


def going_on(phase: str, headers: Mapping[str, str] | None = None) -> Any:
    """Let a phase of a request or of a response go on; of our headers a request then has these.

    With None headers stay as they are.
    """
    reply = message("ProcessingResponse")()
    part = getattr(reply, phase)
    part.SetInParent()
    if headers is not None and phase in {"request_headers", "request_body"}:
        _change(part.response.header_mutation, headers)
        for name in _HEADERS:
            if name not in headers:
                part.response.header_mutation.remove_headers.append(name)
    return reply


def body_again(body: bytes, *, ends: bool) -> list[Any]:
    """Send back a body that Envoy has not kept; `ends` if nothing comes after it."""
    replies = []
    for start in range(0, max(1, len(body)), _CHUNK_BYTES):
        reply = message("ProcessingResponse")()
        streamed = reply.request_body.response.body_mutation.streamed_response
        streamed.body = body[start : start + _CHUNK_BYTES]
        streamed.end_of_stream = ends and start + _CHUNK_BYTES >= len(body)
        replies.append(reply)
    return replies


def headers_of(verdict: Verdict) -> dict[str, str]:
    """Name the headers of a request that goes on."""
    if verdict.error:
        return {FLAGGED: "unknown", FAILURE: code_of(verdict.error)}
    if verdict.outcome == "no_text":
        return {FLAGGED: "unknown", FAILURE: verdict.outcome}
    if not verdict.label:
        return {FLAGGED: "false"}
    return {FLAGGED: "true", LABEL: quote(verdict.label), SCORE: f"{verdict.score:.4f}"}


def refusal(verdict: Verdict, request_id: str) -> Any:
    """Answer a request at once, in the form of OpenAI's errors."""
    error = verdict.error
    if not error:
        status, retry_after_s = _BLOCKED_STATUS, None
        content = openai_error(
            f"The request was blocked: a text was classified as {verdict.label!r}",
            INVALID_REQUEST,
            "content_policy_violation",
        )
    elif verdict.outcome == "refused":
        status, retry_after_s = error.status, None
        content = openai_error_of(error)
    else:
        status, retry_after_s = _UNCHECKED_STATUS, error.retry_after_s
        content = openai_error("The request could not be checked", SERVER, code_of(error))
    headers = {"content-type": "application/json", "x-request-id": request_id}
    if retry_after_s:
        headers["retry-after"] = str(retry_after_s)
    reply = message("ProcessingResponse")()
    immediate = reply.immediate_response
    immediate.status.code, immediate.body = status, content
    immediate.details = "_".join(
        ["sizewise", verdict.outcome, *([code_of(error)] if error else [])]
    )
    _change(immediate.headers, headers)
    return reply


def _change(mutation: Any, headers: Mapping[str, str]) -> None:
    mutation.SetInParent()
    for name, value in headers.items():
        option = mutation.set_headers.add(append_action=OVERWRITE)
        option.header.key, option.header.raw_value = name.encode(), value.encode()
