"""How an error is sent over gRPC."""

from typing import Any

import grpc

from serving.errors import ClientError, ServedError
from serving.protocols.open_inference.grpc_bounds import fitting

_CODES = {
    401: grpc.StatusCode.UNAUTHENTICATED,
    404: grpc.StatusCode.NOT_FOUND,
    408: grpc.StatusCode.DEADLINE_EXCEEDED,
    429: grpc.StatusCode.RESOURCE_EXHAUSTED,
    503: grpc.StatusCode.UNAVAILABLE,
    504: grpc.StatusCode.DEADLINE_EXCEEDED,
}


def refuse(context: Any, error: ServedError) -> bytes:
    """Make an error the status of a call; return the answer, which is not sent.

    context.abort() would raise what the context keeps, and what refers to it: a cycle.
    """
    usual = grpc.StatusCode.INTERNAL
    if isinstance(error, ClientError):
        usual = grpc.StatusCode.INVALID_ARGUMENT
    trailing = [("retry-after", str(error.retry_after_s))] if error.retry_after_s else []
    code = _CODES.get(error.status, usual)
    context.set_code(code)
    context.set_details(fitting(error.sentence()))
    context.set_trailing_metadata(tuple(trailing))
    return b""
