"""Notes each answer down where it is given; who keeps it may be in another process."""

import math
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from random import random
from typing import Any, Protocol

from serving.errors import printable
from serving.feedback.answered import AnsweredRequest, Feedback
from serving.feedback_settings import FeedbackSettings
from serving.inference.inputs import Row, Text
from serving.variants.answers import FamilyAnswer


class FeedbackStore(Protocol):
    """Keeps what is noted of answers, for those who say later which were right."""

    def keep(self, request: AnsweredRequest) -> None:
        """Remember an answered request."""

    def log_texts(self, rows: Sequence[dict[str, Any]]) -> None:
        """Take rows for the text log."""

    async def give(
        self, caller: str, request_id: str, index: int, labels: Sequence[str], *, consents: bool
    ) -> Feedback:
        """Take the right labels of a text; they may be logged if the caller `consents`.

        Raises UnknownRequest or InvalidField.
        """

    async def forget(self, caller: str, request_id: str) -> None:
        """Forget a request, if it is known, and have it erased from the text log.

        Raises NotReady if the log cannot be written.
        """


class AnswerRecorder:
    """Notes answers down in a store, as the settings say."""

    def __init__(self, settings: FeedbackSettings, store: FeedbackStore) -> None:
        self.store = store
        self._remembers = settings.feedback_texts > 0
        self._share = settings.text_log_share if settings.text_log else 0.0

    def note(
        self,
        caller: str,
        request_id: str,
        answer: FamilyAnswer,
        texts: Sequence[Text | Row] | None,
    ) -> None:
        """Note the answer to a caller's request, whose `texts` may be logged unless None."""
        now_s = time.time()
        if self._remembers:
            self.store.keep(answered_request(caller, request_id, answer, now_s))
        if texts is not None and random() < self._share:  # noqa: S311  a sample
            self.store.log_texts(text_rows(caller, request_id, answer, texts, now_s))


def answered_request(
    caller: str, request_id: str, answer: FamilyAnswer, now_s: float
) -> AnsweredRequest:
    """Return what is kept of an answer that is given now."""
    labels, one = answer.labels, answer.least_score is None
    return AnsweredRequest(
        caller,
        request_id,
        now_s,
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
        answer.escalated is None and not answer.degraded,
    )


def text_rows(
    caller: str,
    request_id: str,
    answer: FamilyAnswer,
    texts: Sequence[Text | Row],
    now_s: float,
) -> list[dict[str, Any]]:
    """Return the rows of the text log for a request that is answered now.

    Rows of numbers are no texts. Feedback on a row names the row's time, as ids may be used again.
    """
    now = datetime.fromtimestamp(now_s, UTC)
    rows = []
    for index, (text, each) in enumerate(zip(texts, answer.answers, strict=True)):
        if isinstance(text, Row):
            continue
        first, second = (text, None) if isinstance(text, str) else text
        rows.append(
            {
                "time": now,
                "caller": caller,
                "request_id": request_id,
                "index": index,
                "model": answer.family,
                "variant": each.variant,
                "version": each.version,
                "predicted": answer.labels_of(each),
                "text": printable(first),
                "text_pair": second and printable(second),
                "labels": answer.labels,
                "scores": each.scores,
            }
        )
    return rows


def feedback_row(given: Feedback) -> dict[str, Any]:
    """Return the row of the text log for feedback."""
    return {
        "time": datetime.now(UTC),
        "caller": given.caller,
        "request_id": given.request_id,
        "index": given.place,
        "model": given.model,
        "variant": given.variant,
        "version": given.version,
        "predicted": list(given.predicted),
        "right": list(given.labels),
        "answered": datetime.fromtimestamp(given.answered_s, UTC),
        "alone": given.alone,
    }
