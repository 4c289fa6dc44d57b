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
CLIENT_LEFT = 499
"""The status of a request whose client has left."""


class Inference(Protocol):
    """What a request to a model was, and whose."""

    caller: str
    texts: int
    tokens: int


class Recorder(Protocol):
    """Counts events; see Metrics."""

    def record_request(
        self,
        endpoint: str,
        model: str,
        status: int,
        seconds: float,
        reason: str = "",
        *,
        inference: Inference | None = None,
    ) -> None:
        """Count a request that has ended, whatever its outcome, and whose `inference` it was."""

    def record_callers_failure(self) -> None:
        """Count a scan that could not use the callers file."""

    def record_rejected(self, reason: str) -> None:
        """Count a valid request that was refused."""

    def record_check(self, outcome: str, reason: str, requests: int = 1) -> None:
        """Count requests that were checked for a proxy, by what became of them and why."""

    def record_refused_connection(self, reason: RefusalReason) -> None:
        """Count a connection that was refused, or ended before its client was done."""

    def record_answer(self, answer: FamilyAnswer) -> None:
        """Count the answered texts of one request."""

    def record_shadow(self, variant: VariantKey, texts: int, disagreements: int) -> None:
        """Count texts that a shadow has classified, and how many of them got other labels."""

    def record_sample(self, family: str, texts: int, disagreements: int) -> None:
        """Count sampled texts of a cascade, and how many the reference labels otherwise."""
