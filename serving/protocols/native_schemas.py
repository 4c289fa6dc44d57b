"""Bodies of the native API's requests and responses, as OpenAPI shows them.

The limits of Settings are checked in dataplane.py.
"""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Discriminator, FailFast, Field, Tag, model_validator

from serving.bundles.cascade import Cascade
from serving.bundles.decisions import Decisions
from serving.bundles.evaluation import Agreement, Evaluation, StressDrop
from serving.bundles.group_report import GroupGap
from serving.bundles.normalization import Normalization
from serving.bundles.tensor_input import TensorInput
from serving.bundles.traffic import Policy
from serving.bundles.windows import Long, Windows
from serving.inference.inputs import Side
from serving.protocols.explanation_schemas import (
    MAX_NAME_CHARS,
    Described,
    ExplainRequest,
    ExplanationResult,
)

MOST_TEXTS = 65_536
"""The most that SIZEWISE_MAX_TEXTS may allow."""

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
        FailFast(),
        Field(
            min_length=1,
            max_length=MOST_TEXTS,
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
    long: Long | None = Field(
        None,
        description="What becomes of a text that is too long for the model: `refuse` it, `truncate`"
        " it, or answer it by overlapping `windows` of it; by default what the family's "
        "windows.json says, or else `refuse`.",
    )
    truncate: bool | None = Field(
        None, description="`true` means `long: truncate`; `false` says nothing."
    )
    deadline_ms: Annotated[int, Field(ge=1)] | None = Field(
        None, description="Answer within this time, or refuse before the work starts."
    )
    allow_degraded: bool = Field(
        True, description="With `auto`: let smaller variants stand in under overload."
    )
    min_accuracy: Annotated[float, Field(ge=0, le=1)] | None = Field(
        None,
        description="With `auto`: the cheapest option whose accuracy is at least this, by the "
        "lower end of its 95 % interval.",
    )
    max_cost: Annotated[float, Field(gt=0)] | None = Field(
        None,
        description="With `auto`: the most accurate option whose cost, as a share of the family's "
        "costliest variant, is at most this.",
    )
    explain: ExplainRequest | None = Field(
        None, description="Explain each answer; only for models of single texts."
    )

    @model_validator(mode="after")
    def _consistent(self) -> "ClassifyRequest":
        if self.variant != "auto" and (self.min_accuracy, self.max_cost) != (None, None):
            raise ValueError("name a variant, or give min_accuracy or max_cost, not both")
        if self.long and self.truncate is not None and self.truncate != (self.long == "truncate"):
            raise ValueError("truncate contradicts long: leave out truncate")
        return self


class Span(Described):
    """Characters of a text; of a pair, of its second text."""

    start: int
    """The first character, from 0."""
    end: int
    """The character after the last."""


class WindowsResult(Described):
    """The windows of one text."""

    count: int
    """Number of windows."""
    labels: dict[str, Span]
    """For each label the window in which its score is highest."""


class TextResult(Described):
    """The answer for one text, in the order of the request's texts."""

    label: str
    """The likeliest label; for a regression the one of the largest value."""
    labels: list[str]
    """All labels that apply.

    That is `label` alone, or each one of probability 0.5 or more if the model is multi-label or
    has a single label. For a regression it is all labels, as each names a value.
    """
    score: float
    """The probability of `label`, or a regression's value."""
    scores: dict[str, float]
    """The probability of each label, or a regression's values."""
    variant: str
    """The variant that answered."""
    version: str
    """Its version."""
    truncated: bool
    """Whether the text was cut at the model's length."""
    degraded: bool
    """Whether overload made a smaller variant answer, or a cascade end earlier."""
    truncation_side: Side | None = None
    """The end at which the text was cut, `left` for its start; only there if it was cut."""
    windows: WindowsResult | None = None
    """Where each label's score is from; only there if the text was cut into windows."""
    decisions: dict[str, bool] | None = None
    """Whether the text is flagged for each decided label (`decisions.json`).

    Only there if the family has decisions; null if it has none for what answered.
    """
    flagged: bool | None = None
    """Whether any of the decisions is true; there, or null, as they are."""
    explanation: ExplanationResult | None = None
    """What each word contributes; only there if the request has `explain`."""


class Usage(Described):
    """What the request cost."""

    texts: int
    """Texts answered."""
    tokens: int
    """Tokens that went through the model."""


class ClassifyResponse(Described):
    """One result for each text."""

    model: str
    """The family that answered."""
    results: list[TextResult]
    """The answers, in the order of the request's texts."""
    usage: Usage
    """Texts and tokens of the whole request."""


class VariantInfo(Described):
    """One variant of a family: what it is, what it scored, which versions are tried."""

    variant: str
    """The variant's name."""
    version: str
    """The version that answers."""
    precision: str
    """The number format of its weights."""
    parameters: int
    """Number of parameters."""
    bytes: int
    """Size of its bundle."""
    labels: list[str]
    """Its labels, in order."""
    problem_type: str
    """`single_label`, `multi_label` or `regression`."""
    max_length: int
    """Longest input in tokens."""
    pairs: bool
    """Whether it reads two texts at a time."""
    tensors: list[TensorInput]
    """Inputs of a model that reads rows of numbers."""
    normalize: list[Normalization]
    """How its tokenizer normalises a text before all else."""
    parent: str | None
    """Variant that it was made from."""
    evaluations: dict[str, Evaluation]
    """What it scored, by split."""
    agreement: Agreement | None
    """How often it answers as another bundle."""
    stress_drop: StressDrop | None
    """What altering texts may cost it at most; null if it was not stressed."""
    group_gap: GroupGap | None
    """By how much groups of texts may differ at most; null if none were compared."""
    engine: str
    """Engine that runs it."""
    engine_reason: str
    """Why that engine was chosen."""
    runs_as: str
    """The engine and the number format in which it computes, such as `openvino, bf16`."""
    max_batch_tokens: int
    """Largest batch, in padded tokens, as measured at warm-up."""
    text_ms: float
    """Slot time of a text of 32 tokens in full batches, measured on this machine, in ms."""
    cost: float
    """`text_ms` as a share of that of the family's costliest variant."""
    canary: str | None
    """Version of the canary."""
    canary_weight: float
    """Share of the requests that the canary answers."""
    shadow: str | None
    """Version of the shadow."""
    state: Literal["ready"]
    """Every variant that is listed is ready."""


class ModelInfo(Described):
    """One family."""

    model: str
    """The family's name."""
    default_variant: str
    """The variant that answers `auto` where there is no cascade."""
    variants: list[VariantInfo]
    """Its variants."""
    cascade: Cascade | None
    """Its cascade.json."""
    decisions: Decisions | None
    """Its decisions.json."""
    undecided: list[str]
    """Variants, and `cascade`, whose answers have no decisions although the family has some."""
    unproven: list[str]
    """Variants for which the guarantee of cascade or decisions was shown with another `runs_as`.

    Or that of a cascade in windows with another windows.json.
    """
    policy: Policy
    """Its policy.json."""
    windows: Windows
    """Its windows.json; what is so without one, if it has none."""


class ModelsResponse(Described):
    """All families of this server."""

    models: list[ModelInfo]
    """Families that are served."""
    resting: list[str]
    """Families that are loaded when they are requested (`SIZEWISE_MEMORY_BYTES`)."""
    unloaded: list[str]
    """Families that an operator has unloaded."""
    refused: dict[str, str]
    """What in the registry cannot be served and why, by path."""


class Health(Described):
    """State of the server."""

    status: Literal["live", "ready"]
    """`live` from `/health/live`, `ready` from `/health/ready`."""


class Problem(Described):
    """An error, as RFC 9457 describes it."""

    type: str = "about:blank"
    """Always `about:blank`; `code` tells errors apart."""
    title: str
    """The error in a few words, the same for each `code`."""
    status: int
    """The HTTP status."""
    detail: str
    """What happened, and what to do."""
    code: str
    """The error's name."""
    request_id: str
    """The request's id, also in `X-Request-Id`."""
    field: str | None = None
    """The part of the request that is at fault."""
    limit: Any = None
    """What it may be."""
    value: Any = None
    """What was sent."""
