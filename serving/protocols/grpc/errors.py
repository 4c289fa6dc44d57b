"""How an error is sent over gRPC."""

from typing import Any, NoReturn

import grpc

from serving.errors import ClientError, ServedError
from serving.protocols.grpc.bounds import fitting

_CODES = {
    401: grpc.StatusCode.UNAUTHENTICATED,
    404: grpc.StatusCode.NOT_FOUND,
    408: grpc.StatusCode.DEADLINE_EXCEEDED,
    429: grpc.StatusCode.RESOURCE_EXHAUSTED,
    503: grpc.StatusCode.UNAVAILABLE,
    504: grpc.StatusCode.DEADLINE_EXCEEDED,
}


async def abort(context: Any, error: ServedError) -> NoReturn:
    """End a call with an error, which is raised."""
    usual = grpc.StatusCode.INTERNAL
    if isinstance(error, ClientError):
        usual = grpc.StatusCode.INVALID_ARGUMENT
    trailing = [("retry-after", str(error.retry_after_s))] if error.retry_after_s else []
    code = _CODES.get(error.status, usual)
    await context.abort(code, fitting(error.sentence()), tuple(trailing))
    raise error  # abort() has raised
