"""The answered requests that feedback can be given on: no more than so many texts, for a time."""

import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import NamedTuple

from serving.bundles.files import listed
from serving.errors import InvalidField, UnknownRequest

AnsweredText = tuple[str, str, tuple[str, ...]]
"""The variant and the version that answered, and the predicted labels."""


class AnsweredRequest(NamedTuple):
    """What is known of an answered request; `answered_s` is in seconds since 1970.

    `labels` are those that may be right, none for a regression; with `one_label` exactly one is.
    `alone` tells whether a variant answered by itself, as intended: in no cascade nor overload.
    """

    caller: str
    request_id: str
    answered_s: float
    model: str
    labels: Sequence[str]
    one_label: bool
    texts: Sequence[AnsweredText]
    alone: bool = True


class Feedback(NamedTuple):
    """Feedback on the text at a `place`, checked; `is_new` unless it was given before.

    For `answered_s` and `alone` see AnsweredRequest.
    """

    caller: str
    request_id: str
    answered_s: float
    alone: bool
    place: int
    model: str
    variant: str
    version: str
    predicted: tuple[str, ...]
    labels: tuple[str, ...]
    is_right: bool
    is_new: bool


class AnsweredRequests:
    """Answered requests by caller and id; of two with the same id, the later one."""

    def __init__(
        self, most_texts: int, keep_s: float, clock: Callable[[], float] = time.time
    ) -> None:
        """Keep at most so many texts, for `keep_s`; the oldest requests go first."""
        self._most_texts = most_texts
        self._keep_s = keep_s
        self._clock = clock
        self._requests: OrderedDict[tuple[str, str], AnsweredRequest] = OrderedDict()
        self._given: dict[tuple[str, str], dict[int, tuple[str, ...]]] = {}
        """The labels that were given last, by the text's index."""
        self._texts = 0

    def add(self, request: AnsweredRequest) -> None:
        """Keep a request, unless it alone has too many texts."""
        key = request.caller, request.request_id
        if key in self._requests:
            self.remove(*key)
        if len(request.texts) > self._most_texts:
            return
        self._requests[key] = request
        self._texts += len(request.texts)
        while self._texts > self._most_texts:
            self._remove_oldest()
        self.expire(request.answered_s)

    def expire(self, now_s: float) -> None:
        """Forget the requests whose time is over."""
        since_s, requests = now_s - self._keep_s, self._requests
        while requests and next(iter(requests.values())).answered_s < since_s:
            self._remove_oldest()

    def remove(self, caller: str, request_id: str) -> None:
        """Forget a request, if it is kept."""
        request = self._requests.pop((caller, request_id), None)
        if request:
            self._texts -= len(request.texts)
            self._given.pop((caller, request_id), None)

    def _remove_oldest(self) -> None:
        self.remove(*next(iter(self._requests)))

    def give(self, caller: str, request_id: str, index: int, labels: Sequence[str]) -> Feedback:
        """Take the right labels of a text. Raises UnknownRequest or InvalidField."""
        self.expire(self._clock())
        key = caller, request_id
        request = self._requests.get(key)
        if request is None:
            raise UnknownRequest(
                "no answer of this server to this caller has the request id, or it was given too "
                f"long ago: send feedback within {self._keep_s:g} s",
                field="request_id",
                limit=self._keep_s,
                value=request_id,
            )
        _check(request, index, labels)
        variant, version, predicted = request.texts[index]
        right = tuple(sorted(labels))
        given = self._given.setdefault(key, {})
        is_new = given.get(index) != right
        given[index] = right
        return Feedback(
            caller, request_id, request.answered_s, request.alone, index, request.model, variant,
            version, predicted, right,
            is_right=set(right) == set(predicted), is_new=is_new,
        )  # fmt: skip


def _check(request: AnsweredRequest, index: int, labels: Sequence[str]) -> None:
    if not request.labels:
        raise InvalidField(
            f"{request.model} answers with values, not labels: it takes no feedback",
            field="request_id",
            value=request.request_id,
        )
    last = len(request.texts) - 1
    if index > last:
        raise InvalidField(
            "the request has fewer texts: count them from 0", field="index", limit=last, value=index
        )
    for place, label in enumerate(labels):
        if label not in request.labels:
            raise InvalidField(
                f"the labels of {request.model} are {listed(request.labels)}",
                field=f"labels[{place}]",
                value=label,
            )
    if len(set(labels)) < len(labels):
        raise InvalidField("name each label once", field="labels", value=list(labels))
    if request.one_label and len(labels) != 1:
        raise InvalidField(
            f"exactly one label of {request.model} is right",
            field="labels",
            limit=1,
            value=list(labels),
        )
