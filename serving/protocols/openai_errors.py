"""Errors as OpenAI's API writes them."""

from pydantic_core import to_json

from serving.errors import ServedError

INVALID_REQUEST, SERVER = "invalid_request_error", "server_error"
_RATE_LIMIT = "rate_limit_error"
_TOO_MANY, _FAULT = 429, 500


def code_of(error: ServedError) -> str:
    """Return an error's reason, or else its code."""
    return error.reason or error.code


def openai_error(message: str, kind: str, code: str, param: str | None = None) -> bytes:
    """Make the body of an error; `kind` is what OpenAI calls its type."""
    fields = {"message": message, "type": kind, "param": param, "code": code}
    return to_json({"error": fields})


def openai_error_of(error: ServedError) -> bytes:
    """Make the body of an error that says all of it."""
    kind = _RATE_LIMIT if error.status == _TOO_MANY else INVALID_REQUEST
    return openai_error(
        error.sentence(), SERVER if error.status >= _FAULT else kind, code_of(error), error.field
    )
