"""How the native API asks for explanations and gives them, as OpenAPI shows it."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from serving.inference.explanation import Method

MAX_NAME_CHARS = 128


class Described(BaseModel):
    """A body whose fields' docstrings describe them."""

    model_config = ConfigDict(use_attribute_docstrings=True)


class ExplainRequest(BaseModel):
    """What explains each answer: each word's contribution to the score of one label."""

    model_config = ConfigDict(extra="forbid", strict=True)

    method: Method = Field(
        "occlusion",
        description="`occlusion`: the score minus that without the word. `shapley`: the word's "
        "mean effect among all subsets of the others; its contributions sum to `score` minus "
        "`base_score`.",
    )
    top: Annotated[int, Field(ge=1, le=100)] = Field(
        10, description="How many words to return, those of the largest contributions."
    )
    budget: Annotated[int, Field(ge=2, le=2000)] = Field(
        200,
        description="Most texts to evaluate for each text. Neighbouring words of a text with more "
        "words than it suffices for are left out together.",
    )
    label: Annotated[str, Field(max_length=MAX_NAME_CHARS)] | None = Field(
        None, description="The label whose score is explained; default: the predicted one."
    )


class ExplainedWord(Described):
    """A word, or neighbouring words that were left out together."""

    text: str
    """The characters themselves."""
    start: int
    """Offset of its first character in the text as sent."""
    end: int
    """Offset after its last character."""
    contribution: float
    """What it adds to the score; below 0, it takes from it."""


class ExplanationResult(Described):
    """Why a text got its score for one label."""

    method: Method
    """The method that was used."""
    label: str
    """The label that is explained."""
    score: float
    """The score of the text as sent."""
    base_score: float
    """The score of the text without any of its words."""
    evaluations: int
    """Number of texts evaluated, the text as sent included."""
    r2: float
    """The share of the evaluated scores' variance that the sum of contributions reproduces.

    1 is perfect; it is below 0 if the mean of the scores would be closer to them.
    """
    words: list[ExplainedWord]
    """The `top` words of the largest contributions by absolute value, the largest first."""
