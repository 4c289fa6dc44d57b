"""The settings of feedback and of the text log."""

from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field


class FeedbackSettings(BaseModel):
    """What is kept of answers, for those who say later which were right; frozen once read."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    feedback_texts: int = Field(
        0,
        ge=0,
        le=100_000_000,
        description="Maximum number of answered texts that feedback can be given on (about 0.5 kB "
        "each, without the text); 0 takes no feedback.",
    )
    feedback_s: int = Field(
        86_400,
        ge=1,
        le=2_592_000,
        description="Time after an answer in which feedback on it can be given, in seconds.",
    )
    text_log: str = Field(
        "",
        max_length=2048,
        description="Folder, or URL that fsspec can write to, of the text log: sampled texts, and "
        "feedback, of the callers whose entries have `text_log`; empty logs no text.",
    )
    text_log_keys: Path | None = Field(
        None,
        description="File of Fernet keys, one a line, read at the start: the first encrypts the "
        "text log. Empty leaves it unencrypted.",
    )
    text_log_share: float = Field(
        0.01,
        ge=1e-6,
        le=1,
        description="Share of the consenting callers' requests that are logged.",
    )
    text_log_texts_per_s: float = Field(
        10,
        ge=0.001,
        le=10_000,
        description="Maximum number of texts that are logged, a second on average.",
    )
    text_log_bytes: int = Field(
        1 << 30,
        ge=1 << 20,
        le=1 << 50,
        description="Maximum size of the text log, in bytes; the oldest files are removed.",
    )
    text_log_s: int = Field(
        2_592_000,
        ge=1,
        le=315_360_000,
        description="Time after which logged texts and feedback are removed, in seconds.",
    )
    text_log_flush_s: int = Field(
        60,
        ge=1,
        le=3600,
        description="Interval at which the text log is written, and deletions are carried out, in "
        "seconds.",
    )
