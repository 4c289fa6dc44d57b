"""The recorder: counts events, in this process or in the engine process."""

from typing import Literal, Protocol

from serving.bundles.bundle import VariantKey
from serving.variants.answers import FamilyAnswer

RefusalReason = Literal[
    "too_many",
    "too_many_from_address",
    "displaced",
    "malformed",
    "slow_head",
    "slow_body",
    "slow_reader",
    "lingering",
]
"""Why a connection was refused, or ended before its client was done."""


class Recorder(Protocol):
    """Counts events; see Metrics."""

    def record_request(self, endpoint: str, model: str, status: int, seconds: float) -> None:
        """Count a request that has ended, whatever its outcome."""

    def record_rejected(self, reason: str) -> None:
        """Count a valid request that was refused."""

    def record_refused_connection(self, reason: RefusalReason) -> None:
        """Count a connection that was refused, or ended before its client was done."""

    def record_answer(self, answer: FamilyAnswer) -> None:
        """Count the answered texts of one request."""

    def record_shadow(self, variant: VariantKey, texts: int, disagreements: int) -> None:
        """Count texts that a shadow has classified, and how many of them got other labels."""

    def record_sample(self, family: str, texts: int, disagreements: int) -> None:
        """Count sampled texts of a cascade, and how many the reference labels otherwise."""
