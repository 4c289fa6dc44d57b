"""Feedback over processes: the engine process keeps what it is given on, for all HTTP processes."""

from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import Any, cast

from serving.background import start
from serving.errors import EngineFailed, ServedError
from serving.feedback.answered import AnsweredRequests, Feedback
from serving.feedback.recorder import answered_request
from serving.observability.metrics import Metrics
from serving.runtime.call import Call
from serving.runtime.ipc import Channel
from serving.settings import Settings
from serving.variants.answers import FamilyAnswer


class LocalFeedback:
    """The feedback of the process that has the engines."""

    def __init__(self, settings: Settings, metrics: Metrics) -> None:
        self._metrics = metrics
        self._answered = AnsweredRequests(settings.feedback_texts, settings.feedback_s)
        self.keep = self._answered.add

    def note(self, caller: str, request_id: str, answer: FamilyAnswer) -> None:
        """See FeedbackRecorder."""
        self.keep(answered_request(caller, request_id, answer))

    async def give(
        self, caller: str, request_id: str, index: int, labels: Sequence[str]
    ) -> Feedback:
        """See FeedbackRecorder."""
        given = self._answered.give(caller, request_id, index, labels)
        if given.is_new:
            self._metrics.record_feedback(given.model, given.variant, is_right=given.is_right)
        return given

    async def forget(self, caller: str, request_id: str) -> None:
        """See FeedbackRecorder."""
        self._answered.remove(caller, request_id)


class RemoteFeedback:
    """The HTTP process's end."""

    def __init__(self, channel: Channel, call: Callable[..., Call[Any]]) -> None:
        """`call` sends a message that is answered."""
        self._channel = channel
        self._call = call

    def note(self, caller: str, request_id: str, answer: FamilyAnswer) -> None:
        """See FeedbackRecorder; nothing is noted while the engine process does not read."""
        if not self._channel.full:
            self._channel.send("answered", answered_request(caller, request_id, answer))

    async def give(
        self, caller: str, request_id: str, index: int, labels: Sequence[str]
    ) -> Feedback:
        """See FeedbackRecorder."""
        given = self._call("feedback", caller, request_id, index, labels)
        return await cast("Call[Feedback]", given)

    async def forget(self, caller: str, request_id: str) -> None:
        """See FeedbackRecorder."""
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
        start(answer(number, feedback.give(*given)), "taking feedback")

    def forget(number: int, *forgotten: Any) -> None:
        start(answer(number, feedback.forget(*forgotten)), "forgetting a request")

    return {"answered": feedback.keep, "feedback": give, "forget": forget}
