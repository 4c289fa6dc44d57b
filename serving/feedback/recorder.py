"""Notes each answer down where it is given; who keeps it may be in another process."""

import math
import time
from collections.abc import Sequence
from typing import Protocol

from serving.feedback.answered import AnsweredRequest, Feedback
from serving.variants.answers import FamilyAnswer


class FeedbackRecorder(Protocol):
    """What answers become of, for those who say later which were right."""

    def note(self, caller: str, request_id: str, answer: FamilyAnswer) -> None:
        """Note the answer to a caller's request."""

    async def give(
        self, caller: str, request_id: str, index: int, labels: Sequence[str]
    ) -> Feedback:
        """Take the right labels of a text. Raises UnknownRequest or InvalidField."""

    async def forget(self, caller: str, request_id: str) -> None:
        """Forget a request, if it is known."""


def answered_request(caller: str, request_id: str, answer: FamilyAnswer) -> AnsweredRequest:
    """Return what is kept of an answer."""
    labels, one = answer.labels, answer.least_score is None
    return AnsweredRequest(
        caller,
        request_id,
        time.time(),
        answer.family,
        () if answer.least_score == -math.inf else labels,
        one,
        [
            (
                each.variant,
                each.version,
                (labels[each.scores.index(max(each.scores))],)
                if one
                else tuple(answer.labels_of(each)),
            )
            for each in answer.answers
        ],
    )
