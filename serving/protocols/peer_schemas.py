"""Bodies of the responses of the protocols that clients already speak, as OpenAPI shows them."""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True)


class LabelAndScore(_Strict):
    """A label and its score."""

    label: str
    """The label."""
    score: float
    """Its probability, or a regression's value; with raw scores, its logit."""


class TeiError(_Strict):
    """An error of text-embeddings-inference."""

    error: str
    """What happened, and what to do."""
    error_type: Literal["Validation", "Empty", "Backend", "Overloaded", "Unhealthy"]
    """Its kind."""


class TokenInfo(_Strict):
    """One token of a text."""

    id: int
    """Its number in the vocabulary."""
    text: str
    """What it stands for."""
    special: bool
    """Whether it was added to the text."""
    start: int | None
    """The first of its characters in the text."""
    stop: int | None
    """The end of its characters in the text."""


class HuggingFaceError(_Strict):
    """An error, as Hugging Face's servers and V2's send it."""

    error: str
    """What happened, and what to do."""


class OpenAiErrorFields(_Strict):
    """The fields of an error of OpenAI's API."""

    message: str
    """What happened, and what to do."""
    type: str
    """The error's name."""
    param: str | None
    """The part of the request that is at fault."""
    code: int
    """The HTTP status."""


class OpenAiError(_Strict):
    """An error of OpenAI's API, which Infinity and vLLM follow."""

    error: OpenAiErrorFields
    """The error."""


class VllmClass(_Strict):
    """vLLM's answer for one text."""

    index: int
    """The text's place in the request."""
    label: str
    """The likeliest label."""
    probs: list[float]
    """The probabilities of all labels, in order; without activation, their logits."""
    num_classes: int
    """How many labels there are."""


class VllmUsage(_Strict):
    """What a request to vLLM cost."""

    prompt_tokens: int
    """Tokens that went through the model."""
    total_tokens: int
    """The same."""
    completion_tokens: int
    """Always 0."""
    prompt_tokens_details: None
    """Always null."""


class VllmResponse(_Strict):
    """vLLM's response."""

    model: str
    """The family that answered."""
    created: int
    """When, in seconds since 1970."""
    object: Literal["list"]
    """Always `list`."""
    id: str
    """The request's id."""
    data: list[VllmClass]
    """The answers, in the order of the texts."""
    usage: VllmUsage
    """Tokens of the whole request."""


class InfinityUsage(_Strict):
    """What a request to Infinity cost."""

    prompt_tokens: int
    """Tokens that went through the model."""
    total_tokens: int
    """The same."""


class InfinityResponse(_Strict):
    """Infinity's response."""

    model: str
    """The family that answered."""
    created: int
    """When, in seconds since 1970."""
    object: Literal["classify"]
    """Always `classify`."""
    id: str
    """The request's id."""
    data: list[list[LabelAndScore]]
    """The labels of each text with their scores, the highest first."""
    usage: InfinityUsage
    """Tokens of the whole request."""


class ServerMetadata(_Strict):
    """V2's description of a server."""

    name: str
    """The server's name."""
    version: str
    """The protocol's version."""
    extensions: list[str]
    """What it does beyond the protocol."""


class Live(_Strict):
    """Whether the process answers."""

    live: Literal[True]
    """Always true: a process that does not live does not answer."""


class Ready(_Strict):
    """Whether new requests are welcome."""

    ready: Literal[True]
    """Always true: a server that is not ready answers with 503."""


class ModelReady(_Strict):
    """Whether a model is ready."""

    name: str
    """The model."""
    ready: Literal[True]
    """Always true: a model that is not served is not found."""


class TensorMetadata(_Strict):
    """An input or output of a model."""

    name: str
    """Its name."""
    datatype: str
    """The type of its elements."""
    shape: list[int]
    """Its shape; -1 is any size."""
    parameters: dict[str, str] = {}
    """`labels`: the model's labels, a JSON list in a string."""


class ModelMetadata(_Strict):
    """V2's description of a model."""

    name: str
    """The family."""
    versions: list[str]
    """Its variants."""
    platform: str
    """What runs it."""
    inputs: list[TensorMetadata]
    """Its inputs."""
    outputs: list[TensorMetadata]
    """Its outputs."""


class IndexEntry(_Strict):
    """A model of the repository."""

    name: str
    """The family."""
    version: str
    """The variant."""
    state: Literal["READY", "UNAVAILABLE"]
    """Whether it is served."""
    reason: str
    """Why it is not."""


class OutputTensor(_Strict):
    """An output of a request; without `data`, that follows the JSON in binary form."""

    name: str
    """Its name."""
    datatype: Literal["BYTES", "FP32"]
    """The type of its elements."""
    shape: list[int]
    """Its shape."""
    data: list[Any] | None = None
    """Its elements, in row-major order."""
    parameters: dict[str, int] = {}
    """`binary_data_size`, if it is sent in binary form."""


class InferParameters(_Strict):
    """What answered."""

    version: str
    """The version of the bundle."""
    degraded: bool
    """Whether overload made a smaller variant answer."""


class InferResponse(_Strict):
    """V2's response."""

    model_name: str
    """The family."""
    model_version: str
    """The variant that answered."""
    id: str | None = None
    """The request's id, if it had one."""
    parameters: InferParameters
    """What answered."""
    outputs: list[OutputTensor]
    """The requested outputs."""
