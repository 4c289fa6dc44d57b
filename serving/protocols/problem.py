"""Errors as problem+json (RFC 9457): the native and the admin protocol's, and the server's own."""

from http import HTTPStatus

from pydantic_core import to_json

from serving.errors import ServedError
from serving.protocols.dataplane import Refusal

PROBLEM_TYPE = "application/problem+json"


def problem(error: ServedError, request_id: str) -> Refusal:
    """Make a native_schemas.Problem as JSON, without the cost of the pydantic model."""
    fields = {
        "type": "about:blank",
        "title": error.title,
        "status": error.status,
        "detail": error.detail,
        "code": error.code,
        "request_id": request_id,
        "field": error.field,
        "limit": error.limit,
        "value": error.value,
    }
    given = {name: value for name, value in fields.items() if value is not None}
    return Refusal(error.status, to_json(given, inf_nan_mode="strings"), PROBLEM_TYPE)


def error_headers(error: ServedError) -> dict[str, str]:
    """Retry-After and WWW-Authenticate, where an error has them."""
    headers = {"Retry-After": str(error.retry_after_s)} if error.retry_after_s else {}
    if error.status == 401:
        headers["WWW-Authenticate"] = "Bearer"
    return headers


def problem_response(error: ServedError, request_id: str) -> tuple[bytes, bytes]:
    """Make an HTTP/1.1 response: the head without the empty line at its end, and the content."""
    status, content, media_type = problem(error, request_id)
    headers = {
        "content-type": media_type,
        "content-length": str(len(content)),
        "x-request-id": request_id,
        **error_headers(error),
    }
    lines = "".join(f"{name.lower()}: {value}\r\n" for name, value in headers.items())
    head = f"HTTP/1.1 {status} {HTTPStatus(status).phrase}\r\n{lines}"
    return head.encode("latin-1"), content
