"""Feedback over processes: the engine process keeps what it is given on, for all HTTP processes."""

import time
from collections.abc import Callable, Coroutine, Mapping, Sequence
from functools import partial
from typing import Any, cast

from serving.background import Threads, in_time, start
from serving.errors import EngineFailed, NotReady, ServedError, StartError, own_words
from serving.feedback.answered import AnsweredRequest, AnsweredRequests, Feedback
from serving.feedback.log_files import LogFiles
from serving.feedback.recorder import feedback_row
from serving.feedback.text_log import TextLog
from serving.observability.metrics import Metrics
from serving.runtime.call import Call
from serving.runtime.ipc import Channel
from serving.settings import Settings

_DELETION_S = 5.0


class LocalFeedback:
    """The feedback of the process that has the engines, and its text log."""

    def __init__(self, settings: Settings, metrics: Metrics) -> None:
        """Raises StartError if the text log cannot be kept as the settings say."""
        self._metrics = metrics
        self._answered = AnsweredRequests(settings.feedback_texts, settings.feedback_s)
        self.keep = self._answered.add
        self._files: LogFiles | None = None
        self._log: TextLog | None = None
        self._deleting = Threads(1, "text-log-deletions")
        if settings.text_log:
            if not settings.callers:
                raise StartError(
                    "SIZEWISE_TEXT_LOG needs SIZEWISE_CALLERS: a caller consents by its entry there"
                )
            self._files = LogFiles(settings.text_log, settings.text_log_keys)
            self._log = TextLog(self._files, settings)

    def log_texts(self, rows: Sequence[dict[str, Any]]) -> None:
        """See FeedbackStore."""
        if self._log:
            self._log.add_texts(rows)

    async def give(
        self, caller: str, request_id: str, index: int, labels: Sequence[str], *, consents: bool
    ) -> Feedback:
        """See FeedbackStore."""
        given = self._answered.give(caller, request_id, index, labels)
        if given.is_new:
            self._metrics.record_feedback(given.model, given.variant, is_right=given.is_right)
            if self._log and consents:
                self._log.add_feedback(feedback_row(given))
        return given

    async def forget(self, caller: str, request_id: str) -> None:
        """See FeedbackStore."""
        self._answered.remove(caller, request_id)
        if self._files:
            marking = partial(self._files.mark_deleted, caller, request_id, time.time())
            try:
                await in_time(self._deleting, marking, _DELETION_S)
            except Exception as error:
                raise NotReady(
                    f"the text log cannot be written now: {own_words(error)}: try again",
                    retry_after_s=1,
                ) from error

    def count(self) -> None:
        """Count what the text log has done since the last time."""
        if self._log:
            for outcome, rows in self._log.take_outcomes().items():
                self._metrics.record_text_log(outcome, rows)

    def close(self) -> None:
        """Write what waits for the text log, for at most five seconds."""
        self._deleting.shutdown()
        if self._log:
            self._log.close()


class RemoteFeedback:
    """The HTTP process's end."""

    def __init__(self, channel: Channel, call: Callable[..., Call[Any]]) -> None:
        """`call` sends a message that is answered."""
        self._channel = channel
        self._call = call

    def keep(self, request: AnsweredRequest) -> None:
        """See FeedbackStore; nothing is kept while the engine process does not read."""
        if not self._channel.full:
            self._channel.send("answered", request)

    def log_texts(self, rows: Sequence[dict[str, Any]]) -> None:
        """See FeedbackStore, and `keep`."""
        if not self._channel.full:
            self._channel.send("texts", rows)

    async def give(
        self, caller: str, request_id: str, index: int, labels: Sequence[str], *, consents: bool
    ) -> Feedback:
        """See FeedbackStore."""
        given = self._call("feedback", caller, request_id, index, labels, consents)
        return await cast("Call[Feedback]", given)

    async def forget(self, caller: str, request_id: str) -> None:
        """See FeedbackStore."""
        await self._call("forget", caller, request_id)


def feedback_handlers(
    channel: Channel, feedback: LocalFeedback
) -> Mapping[str, Callable[..., None]]:
    """Handle, in the engine process, what an HTTP process sends; by kind of message."""

    async def answer(number: int, work: Coroutine[Any, Any, Feedback | None]) -> None:
        try:
            channel.send("answer", number, await work)
        except Exception as error:  # noqa: BLE001  every call needs an answer
            served = error if isinstance(error, ServedError) else EngineFailed(f"{error!r}")
            channel.send("error", number, served)

    def give(number: int, *given: Any) -> None:
        *what, consents = given
        start(answer(number, feedback.give(*what, consents=consents)), "taking feedback")

    def forget(number: int, *forgotten: Any) -> None:
        start(answer(number, feedback.forget(*forgotten)), "forgetting a request")

    return {
        "answered": feedback.keep,
        "texts": feedback.log_texts,
        "feedback": give,
        "forget": forget,
    }
