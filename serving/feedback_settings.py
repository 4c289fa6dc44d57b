"""The settings of feedback."""

from pydantic import BaseModel, ConfigDict, Field


class FeedbackSettings(BaseModel):
    """What is kept of answers, for those who say later which were right; frozen once read."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    feedback_texts: int = Field(
        0,
        ge=0,
        le=100_000_000,
        description="Maximum number of answered texts that feedback can be given on (about 1 kB "
        "each, without the text); 0 takes no feedback.",
    )
    feedback_s: int = Field(
        86_400,
        ge=1,
        le=2_592_000,
        description="Time after an answer in which feedback on it can be given, in seconds.",
    )
