"""The recorder: counts what happened, in this process or in the engine process."""

from typing import Protocol

from serving.bundles.bundle import VariantKey
from serving.variants.family import FamilyAnswer


class Recorder(Protocol):
    """Who counts: see Metrics."""

    def record_request(self, endpoint: str, model: str, status: int, seconds: float) -> None:
        """One answered request, whatever its outcome."""

    def record_rejected(self, reason: str) -> None:
        """One valid request that was refused."""

    def record_answer(self, answer: FamilyAnswer) -> None:
        """One request's texts, answered."""

    def record_shadow(self, variant: VariantKey, texts: int, disagreements: int) -> None:
        """Texts that a shadow has answered, and how many of them otherwise."""

    def record_sample(self, family: str, texts: int, disagreements: int) -> None:
        """A cascade's texts that its reference has answered too, and how many otherwise."""
