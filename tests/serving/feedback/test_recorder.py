import math
import sys
from dataclasses import replace

import numpy as np
import pytest

from serving.feedback.answered import AnsweredRequests
from serving.feedback.log_files import LogFiles
from serving.feedback.recorder import (
    AnswerRecorder,
    answered_request,
    feedback_row,
    text_rows,
)
from serving.inference.inputs import Row
from serving.settings import Settings
from tests.support.metric_events import TINY, answer, one_pass, text

NOW_S = 1.0


class Store:
    def __init__(self):
        self.kept, self.logged = [], []
        self.keep, self.log_texts = self.kept.append, self.logged.extend


def answered(texts=2, least_score=None, scores=(0.25, 0.75)):
    found = [replace(text(TINY, 3), scores=list(scores)) for _ in range(texts)]
    made = answer(one_pass(TINY, found))
    return replace(made, labels=["bad", "good"], least_score=least_score, answers=found)


@pytest.mark.parametrize(
    ("least_score", "scores", "labels", "predicted"),
    [
        (None, (0.25, 0.75), ["bad", "good"], ("good",)),
        (0.5, (0.6, 0.7), ["bad", "good"], ("bad", "good")),
        (0.5, (0.1, 0.2), ["bad", "good"], ()),
        (-math.inf, (1.5, -2.0), (), ("bad", "good")),
    ],
)
def test_what_is_kept_of_an_answer_are_the_labels_that_it_predicted(
    least_score, scores, labels, predicted
):
    request = answered_request("search", "one", answered(2, least_score, scores), NOW_S)

    assert request.labels == labels
    assert request.texts == [(*TINY[1:], predicted)] * 2
    assert request.one_label is (least_score is None)
    assert request.alone


@pytest.mark.parametrize("how", [{"escalated": {"tiny": 0}}, {"degraded": True}])
def test_what_a_cascade_or_overload_answered_is_kept_as_no_answer_of_a_variant_alone(how):
    assert not answered_request("search", "one", replace(answered(), **how), NOW_S).alone


def test_rows_have_texts_and_pairs_and_no_numbers():
    numbers = Row((np.zeros(2),))
    rows = text_rows("search", "one", answered(2), ["a text", ("first", "second")], NOW_S)

    assert [(row["index"], row["text"], row["text_pair"]) for row in rows] == [
        (0, "a text", None), (1, "first", "second"),
    ]  # fmt: skip
    assert rows[0]["predicted"] == ["good"]
    assert text_rows("search", "one", answered(1), [numbers], NOW_S) == []


def test_a_text_that_is_no_valid_unicode_is_logged_too(tmp_path):
    files = LogFiles(str(tmp_path))
    files.write("texts", text_rows("search", "one", answered(1), ["odd \ud800 text"], NOW_S), 1.0)

    assert files.read(files.listed("texts")[0].name)[0]["text"] == "odd ? text"


def test_a_share_of_the_requests_is_logged_and_all_are_kept():
    store = Store()
    settings = Settings(feedback_texts=1, text_log="log", text_log_share=0.2)
    recorder = AnswerRecorder(settings, store)
    for _ in range(2000):
        recorder.note("search", "one", answered(1), ["a text"])
        recorder.note("other", "one", answered(1), None)

    assert len(store.kept) == 4000
    assert {row["caller"] for row in store.logged} == {"search"}
    assert 300 < len(store.logged) < 500


def test_feedback_names_the_time_of_the_text_that_it_is_on():
    store = Store()
    settings = Settings(feedback_texts=1, text_log="log", text_log_share=1.0)
    AnswerRecorder(settings, store).note("search", "one", answered(1), ["a text"])
    kept = AnsweredRequests(1, 60)
    kept.add(store.kept[0])

    given = feedback_row(kept.give("search", "one", 0, ["good"]))

    assert given["answered"] == store.logged[0]["time"]


def test_a_request_that_is_not_sampled_costs_one_call():
    recorder = AnswerRecorder(Settings(text_log="log", text_log_share=1e-6), Store())
    given, calls = answered(32), []
    sys.setprofile(lambda frame, event, _: calls.append(frame) if event == "call" else None)
    try:
        recorder.note("search", "one", given, ["a text"] * 32)
    finally:
        sys.setprofile(None)

    assert len(calls) == 1
