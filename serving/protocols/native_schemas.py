"""Bodies of the native API's requests and responses, as OpenAPI shows them.

The limits of Settings are checked in dataplane.py.
"""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Discriminator, Field, Tag, model_validator

from serving.bundles.bundle import TensorInput
from serving.bundles.cascade import Cascade
from serving.bundles.evaluation import Evaluation
from serving.bundles.traffic import Policy

MAX_NAME_CHARS = 128


_Text = Annotated[str, Field(min_length=1)]


def _kind(value: object) -> str:
    return "pair" if isinstance(value, list | tuple) else "text"


class ClassifyRequest(BaseModel):
    """Texts to classify, and how."""

    model_config = ConfigDict(extra="forbid", strict=True)

    texts: Annotated[
        list[
            Annotated[
                Annotated[_Text, Tag("text")] | Annotated[tuple[_Text, _Text], Tag("pair")],
                Discriminator(_kind),
            ]
        ],
        Field(
            min_length=1,
            description="The texts to classify, each on its own; "
            "for a model of pairs, each two texts that are classified together.",
        ),
    ]
    model: Annotated[str, Field(max_length=MAX_NAME_CHARS)] | None = Field(
        None, description="Family; may be left out when the server has just one."
    )
    variant: Annotated[str, Field(max_length=MAX_NAME_CHARS)] = Field(
        "auto",
        description="A variant's name, or `auto`: the family's cascade, or the most accurate one.",
    )
    truncate: bool = Field(
        False, description="Cut a text that is too long for the model instead of refusing it."
    )
    deadline_ms: Annotated[int, Field(ge=1)] | None = Field(
        None, description="Answer within this time or refuse before the work is begun."
    )
    allow_degraded: bool = Field(
        True, description="With `auto`: let smaller variants stand in under overload."
    )
    min_accuracy: Annotated[float, Field(ge=0, le=1)] | None = Field(
        None, description="With `auto`: the cheapest way that was measured to be so accurate."
    )
    max_cost: Annotated[float, Field(gt=0)] | None = Field(
        None,
        description="With `auto`: the most accurate way whose cost, in parts of the family's "
        "costliest variant, is at most this.",
    )

    @model_validator(mode="after")
    def _name_or_requirements(self) -> "ClassifyRequest":
        if self.variant != "auto" and (self.min_accuracy, self.max_cost) != (None, None):
            raise ValueError("name a variant, or ask by min_accuracy and max_cost")
        return self


class TextResult(BaseModel):
    """The answer for one text, in the order of the request's texts.

    `label` is the likeliest. `labels` are all that hold: `label` alone, or for a multi-label model
    every one of probability 0.5 or more, which may be none.
    """

    label: str
    labels: list[str]
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
    """One variant of a family: what it is, what it scored, which versions are tried beside.

    `text_ms` is the slot time of a text of 32 tokens in full batches, measured on this machine;
    `cost` the same in parts of the family's costliest variant.
    """

    variant: str
    version: str
    precision: str
    parameters: int
    bytes: int
    labels: list[str]
    problem_type: str
    max_length: int
    pairs: bool
    tensors: list[TensorInput]
    parent: str | None
    evaluations: dict[str, Evaluation]
    engine: str
    engine_reason: str
    max_batch_tokens: int
    text_ms: float
    cost: float
    canary: str | None
    canary_weight: float
    shadow: str | None
    state: Literal["ready"]


class ModelInfo(BaseModel):
    """One family."""

    model: str
    default_variant: str
    variants: list[VariantInfo]
    cascade: Cascade | None
    policy: Policy


class ModelsResponse(BaseModel):
    """All families that this server answers for; by path, what it cannot serve and why.

    A family that is `resting` is loaded when it is asked; one that is `unloaded`, by an operator.
    """

    models: list[ModelInfo]
    resting: list[str]
    unloaded: list[str]
    refused: dict[str, str]


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
