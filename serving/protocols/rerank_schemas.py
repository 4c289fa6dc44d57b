"""Bodies of the responses of rerankers, as OpenAPI shows them."""

from typing import Literal

from pydantic import BaseModel, ConfigDict


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True)


class TeiRank(_Strict):
    """A text's place in text-embeddings-inference's ranking."""

    index: int
    """Its place in the request."""
    score: float
    """Its relevance, from 0 to 1; with raw scores, the logit."""
    text: str | None = None
    """The text, with `return_text`."""


class RerankError(_Strict):
    """An error of Cohere's API and of Jina's."""

    message: str
    """What happened, and what to do, for Cohere's clients."""
    detail: str
    """The same, for Jina's."""


class ApiVersion(_Strict):
    """The version of Cohere's API."""

    version: Literal["1", "2"]
    """Its number."""


class RerankMeta(_Strict):
    """What Cohere's clients read besides."""

    api_version: ApiVersion
    """The version that was asked."""


class RerankUsage(_Strict):
    """What Jina's clients read besides."""

    total_tokens: int
    """Tokens that went through the model."""


class Ranked(_Strict):
    """A document's place in the ranking."""

    index: int
    """Its place in the request."""
    relevance_score: float
    """Its relevance, from 0 to 1."""
    document: dict[str, str] | None = None
    """The document as it was sent, a string as its `text`; of `/v1/rerank`."""


class RerankResponse(_Strict):
    """A response to Cohere's clients and Jina's."""

    id: str
    """The request's id."""
    object: Literal["list"]
    """Always `list`."""
    model: str
    """The family that answered."""
    results: list[Ranked]
    """The documents, the most relevant first."""
    meta: RerankMeta
    """For Cohere's clients."""
    usage: RerankUsage
    """For Jina's clients."""
