"""Bodies of the responses of OpenAI's moderations, as OpenAPI shows them."""

from typing import Literal

from pydantic import BaseModel, ConfigDict


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True)


class ModerationErrorFields(_Strict):
    """The fields of an error of OpenAI's API."""

    message: str
    """What happened, and what to do."""
    type: Literal["invalid_request_error", "rate_limit_error", "server_error"]
    """Whose fault it is."""
    param: str | None
    """The part of the request that is at fault."""
    code: str
    """The error's name."""


class ModerationError(_Strict):
    """An error of OpenAI's API."""

    error: ModerationErrorFields
    """The error."""


class Moderation(_Strict):
    """What was found in one input."""

    flagged: bool
    """Whether any category applies."""
    categories: dict[str, bool]
    """Whether each category applies."""
    category_scores: dict[str, float]
    """The probability of each category."""
    category_applied_input_types: dict[str, list[Literal["text"]]]
    """What each category was looked for in."""


class ModerationResponse(_Strict):
    """OpenAI's response to a request for moderation."""

    id: str
    """The request's id."""
    model: str
    """The family that answered."""
    results: list[Moderation]
    """One for each input, in order; one for all parts of a multi-modal input."""
