"""The course of the test ends where the verdict is, and counts what it counts."""

from datetime import UTC, datetime, timedelta

import pytest

from models.retraining.counted import counting
from models.retraining.course import course_of
from models.retraining.verdict import Canaries, Compared, judge
from tests.support.text_logs import START_S, feedback_row

SINCE = datetime.fromtimestamp(START_S, UTC)
CANARIES = Canaries(since=SINCE, weight=0.1, versions={"large": Compared(live="1", canary="2")})


def rows(count):
    """In turn the live version, of which a third is wrong, and the canary, which is right."""
    return [
        feedback_row(
            str(n), "positive", "negative" if n % 6 == 0 else "positive",
            version="12"[n % 2], at_s=START_S + n,
        )
        for n in range(count)
    ]  # fmt: skip


def judged(feedback):
    return [each for _, each in counting(feedback, CANARIES)]


@pytest.mark.parametrize("count", [1, 7, 100, 730])
def test_it_ends_at_the_verdict(count):
    before = feedback_row("old", "positive", "negative", at_s=START_S - 1)
    other = feedback_row("other", "positive", "negative", version="3")
    judgements = judged([*reversed(rows(count)), before, other])

    course = course_of(judgements, 0.95)

    verdict = judge(judgements, CANARIES)
    assert len(course) == min(count, 100)
    assert course[0].answers == 1
    assert course[-1].answers == count == verdict.pooled.live.n + verdict.pooled.canary.n
    assert course[-1].difference.value == pytest.approx(verdict.pooled.difference.value)
    assert course[-1].difference.low == pytest.approx(verdict.pooled.difference.low)
    assert course[-1].difference.high == pytest.approx(verdict.pooled.difference.high)


def test_each_look_is_that_of_its_time():
    judgements = judged(rows(60))

    for look in course_of(judgements, 0.9)[9::10]:
        now = SINCE + timedelta(seconds=look.answers - 1)
        then = [each for each in judgements if each.time <= now]
        verdict = judge(then, CANARIES, confidence=0.9)
        assert look.difference.low == pytest.approx(verdict.pooled.difference.low)


def test_without_feedback_there_is_none():
    assert course_of([], 0.95) == []
