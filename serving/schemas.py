"""Request and response bodies of the native API, as OpenAPI shows them.

It does not know the limits that Settings sets; routes.py checks those.
"""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from serving.bundle import Evaluation

MAX_NAME_CHARS = 128


class ClassifyRequest(BaseModel):
    """Texts to classify, and how."""

    model_config = ConfigDict(extra="forbid", strict=True)

    texts: Annotated[
        list[Annotated[str, Field(min_length=1)]],
        Field(min_length=1, description="The texts to classify, each on its own."),
    ]
    model: Annotated[str, Field(max_length=MAX_NAME_CHARS)] | None = Field(
        None, description="Family; may be left out when the server has just one."
    )
    variant: Annotated[str, Field(max_length=MAX_NAME_CHARS)] = Field(
        "auto",
        description="A variant's name, or `auto`: the most accurate one that has room.",
    )
    truncate: bool = Field(
        False, description="Cut a text that is too long for the model instead of refusing it."
    )
    deadline_ms: Annotated[int, Field(ge=1)] | None = Field(
        None, description="Answer within this time or refuse before the work is begun."
    )
    allow_degraded: bool = Field(
        True, description="With `auto`: let a smaller variant answer when the first has no room."
    )


class TextResult(BaseModel):
    """The answer for one text, in the order of the request's texts."""

    label: str
    score: float
    scores: dict[str, float]
    variant: str
    version: str
    truncated: bool
    degraded: bool


class Usage(BaseModel):
    """What the request cost: texts, and tokens that went through the model."""

    texts: int
    tokens: int


class ClassifyResponse(BaseModel):
    """One result per text."""

    model: str
    results: list[TextResult]
    usage: Usage


class VariantInfo(BaseModel):
    """One variant of a family: what it is and what it scored."""

    variant: str
    version: str
    precision: str
    parameters: int
    bytes: int
    labels: list[str]
    problem_type: str
    max_length: int
    parent: str | None
    evaluations: dict[str, Evaluation]
    engine: str
    engine_reason: str
    max_batch_tokens: int
    state: Literal["ready", "failed"]


class ModelInfo(BaseModel):
    """One family."""

    model: str
    default_variant: str
    variants: list[VariantInfo]


class ModelsResponse(BaseModel):
    """All families that this server answers for."""

    models: list[ModelInfo]


class Health(BaseModel):
    """State of the server."""

    status: Literal["live", "ready"]


class Problem(BaseModel):
    """An error, as RFC 9457 describes it; `field`, `limit` and `value` name what to change."""

    type: str = "about:blank"
    title: str
    status: int
    detail: str
    code: str
    request_id: str
    field: str | None = None
    limit: Any = None
    value: Any = None
