"""What has been counted in a trial stays counted."""

from datetime import UTC, datetime

import pytest

from models.retraining.counted import COUNTED_NAME, keep_counted
from models.retraining.verdict import Canaries, Compared, judge
from serving.errors import StartError
from tests.support.text_logs import START_S, feedback_row

CANARIES = Canaries(
    since=datetime.fromtimestamp(START_S, UTC),
    weight=0.1,
    versions={"large": Compared(live="1", canary="2")},
)


def given(request_id, right="positive", version="2", at_s=START_S, **fields):
    return feedback_row(request_id, "positive", right, version=version, at_s=at_s, **fields)


def counts(folder, *feedback):
    counted = keep_counted(folder, feedback, CANARIES)
    pooled = judge(counted.values(), CANARIES).pooled
    return [(of.right, of.wrong) for of in (pooled.canary, pooled.live)]


def test_what_the_log_has_lost_stays_counted_beside_what_is_new(tmp_path):
    first = [given("a"), given("b", "negative"), given("c", version="1")]
    assert counts(tmp_path, *first) == [(1, 1), (1, 0)]

    assert counts(tmp_path, given("b", "negative"), given("d")) == [(2, 1), (1, 0)]
    assert counts(tmp_path) == [(2, 1), (1, 0)]


def test_a_correction_takes_the_place_of_what_was_said_before(tmp_path):
    counts(tmp_path, given("a"))

    assert counts(tmp_path, given("a", "negative", at_s=START_S + 5)) == [(0, 1), (0, 0)]


def test_an_id_that_was_used_again_is_another_answer(tmp_path):
    times = [datetime.fromtimestamp(START_S + s, UTC) for s in (0, 9)]

    found = [counts(tmp_path, given("a", at_s=START_S + 20, answered=time)) for time in times]

    assert found == [[(1, 0), (0, 0)], [(2, 0), (0, 0)]]


def test_nothing_that_names_a_caller_a_request_or_a_label_is_kept(tmp_path):
    counts(tmp_path, given("order-4711", "negative"))

    kept = (tmp_path / COUNTED_NAME).read_text()
    assert "large" in kept
    assert not any(name in kept for name in ("search", "order-4711", "negative", "positive"))
    assert (tmp_path / COUNTED_NAME).stat().st_mode & 0o777 == 0o600


def test_what_cannot_be_read_is_never_counted_anew(tmp_path):
    (tmp_path / COUNTED_NAME).write_text('{"a": 1}')

    with pytest.raises(StartError, match=r"counted\.json: a: Input should be"):
        counts(tmp_path, given("a"))
