"""Every error that a client or an operator can see, with its status and code.

server/app.py sends them, with one handler for the base class.

SizewiseError
├── ServedError                           sent to a client as problem+json
│   ├── ClientError                       the request is at fault
│   │   ├── MalformedRequest         400  malformed_request
│   │   ├── MalformedBody            400  malformed_body
│   │   ├── Unauthorized             401  unauthorized
│   │   ├── PathNotFound             404  path_not_found
│   │   ├── UnknownModel             404  unknown_model
│   │   ├── UnknownVariant           404  unknown_variant
│   │   ├── UnknownRequest           404  unknown_request
│   │   ├── MethodNotAllowed         405  method_not_allowed
│   │   ├── BodyTimeout              408  body_timeout
│   │   ├── BodyTooLarge             413  body_too_large
│   │   ├── TooManyTexts             413  too_many_texts
│   │   ├── UnsupportedMediaType     415  unsupported_media_type
│   │   ├── InvalidField             422  invalid_field
│   │   └── TextTooLong              422  text_too_long
│   ├── CapacityError                     the request is valid; try again later
│   │   ├── Overloaded               429  overloaded
│   │   ├── RateLimited              429  rate_limited
│   │   ├── NotReady                 503  not_ready
│   │   ├── Draining                 503  draining
│   │   └── DeadlineMissed           504  deadline_missed
│   └── InternalError                500  internal_error: a bug in the server
│       └── EngineFailed             500  engine_failed
└── StartError                            ends the start with exit status 2
    └── BundleError                       a bundle or a registry is broken
"""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import ClassVar

from serving.shortening import MOST_CHARS, cut, shortened

_MOST_DETAIL_CHARS = 2000
_LONGEST_WAIT_S = 1e9


def retry_after_s(wait_s: float) -> int:
    """Round a predicted wait up to whole seconds, at least one, for the Retry-After header."""
    return 1 + int(max(0.0, min(_LONGEST_WAIT_S, wait_s)))


def printable(text: str) -> str:
    """Replace what JSON cannot hold: the bytes of a file name that are not UTF-8."""
    return text.encode(errors="replace").decode()


class SizewiseError(Exception):
    """Base of all errors; `detail` says in one sentence what happened and what to do."""

    def __init__(self, detail: str) -> None:
        self.detail = printable(detail)
        super().__init__(self.detail)


class ServedError(SizewiseError):
    """An error that is sent to a client as RFC 9457 problem+json.

    `field`, `limit` and `value` name the offending part of the request, where there is one;
    `retry_after_s` (whole seconds) becomes the Retry-After header.
    `reason` is what metrics call it where `code` says too little.
    """

    status: ClassVar[int]
    code: ClassVar[str]
    title: ClassVar[str]
    reason: ClassVar[str] = ""

    def __init__(
        self,
        detail: str,
        *,
        field: str | None = None,
        limit: object = None,
        value: object = None,
        retry_after_s: int | None = None,
    ) -> None:
        super().__init__(cut(detail, _MOST_DETAIL_CHARS))
        self.field = field and cut(field, MOST_CHARS)
        self.limit = limit
        self.value = shortened(value)
        self.retry_after_s = retry_after_s

    def sentence(self) -> str:
        """Return the content of problem+json as one string, for protocols that send a string."""
        parts = {"field": self.field, "limit": self.limit, "value": self.value}
        details = ", ".join(f"{name}: {part}" for name, part in parts.items() if part is not None)
        return f"{self.title}: {self.detail}" + (f" ({details})" if details else "")

    def rename(self, old: str, new: str) -> None:
        """Rename the field `old`, or an item of it, to what the protocol calls it."""
        if self.field and (self.field == old or self.field.startswith(f"{old}[")):
            self.field = new + self.field.removeprefix(old)
            self.detail = self.detail.replace(f"{old}[", f"{new}[")


class ClientError(ServedError):
    """The request is at fault; sending it again unchanged will fail again."""


class MalformedBody(ClientError):
    """The body is not JSON in UTF-8."""

    status, code, title = 400, "malformed_body", "The body is not valid JSON"


class MalformedRequest(ClientError):
    """The bytes on the connection are not an HTTP/1.1 request."""

    status, code, title = 400, "malformed_request", "Not a valid HTTP request"


class Unauthorized(ClientError):
    """The API key is missing or wrong."""

    status, code, title = 401, "unauthorized", "A valid API key is required"


class PathNotFound(ClientError):
    """No endpoint has this path."""

    status, code, title = 404, "path_not_found", "No such endpoint"


class UnknownModel(ClientError):
    """The registry has no family of this name."""

    status, code, title = 404, "unknown_model", "No such model"


class UnknownVariant(ClientError):
    """The family has no variant of this name."""

    status, code, title = 404, "unknown_variant", "No such variant"


class UnknownRequest(ClientError):
    """The caller has no answered request of this id that feedback can still be given on."""

    status, code, title = 404, "unknown_request", "No such request"


class MethodNotAllowed(ClientError):
    """The endpoint does not take this HTTP method."""

    status, code, title = 405, "method_not_allowed", "Method not allowed"


class BodyTimeout(ClientError):
    """The body did not arrive within `SIZEWISE_BODY_TIMEOUT_MS`."""

    status, code, title = 408, "body_timeout", "The body arrived too slowly"


class BodyTooLarge(ClientError):
    """The body has more bytes than `SIZEWISE_MAX_BODY_BYTES`."""

    status, code, title = 413, "body_too_large", "The body is too large"


class TooManyTexts(ClientError):
    """The request has more texts than `SIZEWISE_MAX_TEXTS`."""

    status, code, title = 413, "too_many_texts", "Too many texts in one request"


class UnsupportedMediaType(ClientError):
    """The body is not `application/json`, or it is compressed."""

    status, code, title = 415, "unsupported_media_type", "Only application/json is understood"


class InvalidField(ClientError):
    """A field has a wrong type, an unknown name or a value out of range."""

    status, code, title = 422, "invalid_field", "A field is invalid"


class TextTooLong(ClientError):
    """A text has too many characters, too many tokens to be answered whole, or too many windows."""

    status, code, title = 422, "text_too_long", "A text is too long"


class CapacityError(ServedError):
    """The request is valid, but the server cannot answer it now."""


class Overloaded(CapacityError):
    """The server or the caller's queue is full, or the queue is too long for the deadline."""

    status, code, title = 429, "overloaded", "The server is overloaded"


class RateLimited(CapacityError):
    """The caller has reached its own limit."""

    status, code, title = 429, "rate_limited", "The caller's limit is reached"


class NotReady(CapacityError):
    """The models are being loaded, or an engine does not respond."""

    status, code, title = 503, "not_ready", "The server is not ready"


class Draining(CapacityError):
    """The server is shutting down."""

    status, code, title = 503, "draining", "The server is shutting down"


class DeadlineMissed(CapacityError):
    """The work takes longer than the deadline allows, or the deadline passed in the queue.

    The work was not started.
    """

    status, code, title = 504, "deadline_missed", "The deadline would be missed"


class InternalError(ServedError):
    """A bug in the server."""

    status, code, title = 500, "internal_error", "This is a bug in the server"


class EngineFailed(InternalError):
    """The inference engine raised an error, returned an invalid result or did not return."""

    status, code, title = 500, "engine_failed", "The inference engine failed"


def served_errors(base: type[ServedError] = ServedError) -> Iterator[type[ServedError]]:
    """Yield every error that a client can get."""
    for error in base.__subclasses__():
        if "code" in vars(error):
            yield error
        yield from served_errors(error)


class StartError(SizewiseError):
    """The server cannot start; `detail` names the setting or file and the remedy."""


class BundleError(StartError):
    """A bundle is incomplete, altered or inconsistent."""


ENDING = (KeyboardInterrupt, SystemExit, GeneratorExit, asyncio.CancelledError)
"""What must not be taken for a failure, although `except BaseException` catches it."""


def own_words(error: BaseException) -> str:
    """Return what a library said when it failed: the first cause's message on one line."""
    while error.__cause__:
        error = error.__cause__
    said = error.detail if isinstance(error, SizewiseError) else str(error)
    return " ".join(said.split()) or type(error).__name__


@contextmanager
def failures(kind: Callable[[str], SizewiseError], what: str) -> Iterator[None]:
    """Raise whatever a library raises as an error of `kind` that names `what` and quotes it.

    That includes exceptions that are no Exception, such as a panic of the tokenizers. Errors that
    end a start already say enough.
    """
    try:
        yield
    except (*ENDING, StartError):
        raise
    except BaseException as error:
        raise kind(f"{what}: {own_words(error)}") from error
