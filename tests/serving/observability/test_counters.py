import gc
import pickle
import sys
from types import SimpleNamespace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from serving.observability.counters import SECONDS, Counters
from serving.observability.metrics import Metrics
from tests.support.metric_events import (
    CLASSIFY,
    LOADED,
    NEXT,
    TICK_S,
    TINY,
    WIDE,
    answer,
    batch,
    cascaded,
    flagged,
    manifest,
    one_pass,
    published,
    record,
    text,
)

QUEUE = "sizewise_queue_duration_seconds"
ONE = answer(one_pass(TINY, [text(TINY, 3)]))
MANY = answer(one_pass(TINY, [text(TINY, 3)] * 32))
MIXED = answer(one_pass(TINY, [text(TINY, n) for n in range(32)]))


def calls(work):
    """The number of Python functions that `work` calls, itself aside."""
    found = []
    gc.collect()
    gc.disable()  # what it finalises calls functions, too
    sys.setprofile(lambda frame, event, _: found.append(frame) if event == "call" else None)
    try:
        work()
    finally:
        sys.setprofile(None)
        gc.enable()
    return len(found) - 1


@pytest.fixture
def metrics():
    metrics = Metrics()
    record(metrics, LOADED)
    return metrics


@pytest.mark.parametrize("given_answer", [ONE, MANY, MIXED], ids=["one", "many", "mixed"])
def test_a_request_is_counted_by_two_python_calls_however_many_texts_it_has(metrics, given_answer):
    def count():
        metrics.record_request(CLASSIFY, "tone", 200, 0.003)
        metrics.record_answer(given_answer)

    assert calls(count) == 2


def test_the_caller_of_a_request_is_counted_without_a_call_more(metrics):
    asked = SimpleNamespace(caller="search", texts=1, tokens=7)

    def count():
        metrics.record_request(CLASSIFY, "tone", 200, 0.003, "", inference=asked)

    count()
    assert calls(count) == 1


def test_a_batch_and_a_refusal_are_counted_by_one_python_call_each(metrics):
    report = batch(TINY, 8, 200, 56, 3)

    assert calls(lambda: metrics.record_batch(report)) == 1
    assert calls(lambda: metrics.record_reused(TINY, 1, 0)) == 1
    assert calls(lambda: metrics.record_rejected("overloaded")) == 1


def test_idle_families_cost_a_request_nothing(metrics):
    for number in range(64):
        metrics.add_variant(manifest((f"idle-{number}", "tiny", "1")), "onnxruntime")

    assert calls(lambda: metrics.record_answer(ONE)) == 1
    metrics.take()
    metrics.record_answer(ONE)
    assert {key for rows in metrics.take().values() for key in rows} == {TINY}


def test_what_was_sent_costs_the_next_event_one_call_more():
    counters = Counters()
    counters.record_answer(ONE)
    counters.take()

    assert calls(lambda: counters.record_answer(ONE)) == 2
    assert calls(lambda: counters.record_answer(ONE)) == 1


@settings(deadline=None)
@given(st.lists(st.integers(0, 20) | st.integers(0, 6000), min_size=1, max_size=32))
def test_each_text_is_observed_with_its_own_wait(ticks):
    metrics = Metrics()
    metrics.record_answer(answer(one_pass(TINY, [text(TINY, n) for n in ticks])))
    (queue,) = (each for each in metrics.collect() if each.name == QUEUE)
    (labels,) = {(each.labels["model"], each.labels["variant"]) for each in queue.samples}
    found = {(each.name, each.labels.get("le")): each.value for each in queue.samples}

    assert labels == TINY[:2]
    assert found[f"{QUEUE}_sum", None] == sum(ticks) * TICK_S
    for most in SECONDS:
        within = sum(n * TICK_S <= most for n in ticks)
        assert found[f"{QUEUE}_bucket", str(most)] == within
    assert found[f"{QUEUE}_bucket", "+Inf"] == found[f"{QUEUE}_count", None] == len(ticks)


def test_what_was_taken_is_not_taken_again():
    counters = Counters()
    counters.record_request(CLASSIFY, "tone", 200, TICK_S)

    assert list(counters.take()) == ["requests"]
    assert counters.take() == {}


TICKS = st.integers(0, 6000)
VARIANTS = st.sampled_from([TINY, WIDE, NEXT])
TEXTS = st.builds(text, VARIANTS, TICKS, truncated=st.booleans(), degraded=st.booleans())
# Seconds of any length, not only those that floats hold exactly.
REQUESTS = st.tuples(
    st.just("record_request"),
    st.sampled_from([CLASSIFY, "/v1/models", ""]),
    st.sampled_from(["tone", "mood", ""]),
    st.sampled_from([200, 404, 429, 503]),
    st.floats(0, 100),
)
ANSWERS = st.builds(
    lambda variant, texts, tokens, ticks: answer(one_pass(variant, texts, tokens, ticks)),
    VARIANTS,
    st.lists(TEXTS, min_size=1, max_size=8),
    st.integers(1, 500),
    TICKS,
)
COUNTS = st.integers(0, 40)
HTTP_EVENTS = st.one_of(
    REQUESTS,
    st.tuples(st.just("record_rejected"), st.sampled_from(["overloaded", "draining"])),
    st.tuples(
        st.just("record_answer"),
        ANSWERS | st.builds(cascaded, st.integers(1, 9), st.integers(0, 9)),
    ),
    st.tuples(st.just("record_shadow"), VARIANTS, COUNTS, COUNTS),
    st.tuples(st.just("record_sample"), st.just("tone"), st.integers(20, 40), st.integers(0, 20)),
)


def lines(metrics):
    """The page in any order, without the two figures to which the order of texts matters."""
    ordered = ("escalation_drifted", "disagreement_lower_ratio")
    return sorted(line for line in published(metrics) if not any(name in line for name in ordered))


@settings(deadline=None)
@given(st.lists(st.tuples(HTTP_EVENTS, st.integers(0, 3), st.booleans())), st.randoms())
def test_events_give_the_same_page_however_they_are_spread_over_processes(events, chance):
    alone, engine = Metrics(), Metrics()
    processes = [Counters() for _ in range(3)]
    for metrics in (alone, engine):
        record(metrics, LOADED)
    for event, process, flush in events:
        record(alone, [event])
        record([engine, *processes][process], [event])
        if flush and process:
            engine.add(pickle.loads(pickle.dumps(processes[process - 1].take())))
    chance.shuffle(processes)
    for process in processes:
        engine.add(process.take())

    assert lines(engine) == lines(alone)


def test_a_cascade_that_drifts_is_seen_in_the_sums_of_several_processes():
    engine, processes = Metrics(), [Counters(), Counters()]
    record(engine, LOADED)

    def drifted(stayed, escalated):
        for _ in range(40):
            for process in processes:
                process.record_answer(cascaded(stayed, escalated))
                process.record_answer(cascaded(stayed, escalated))
                engine.add(process.take())
        return 'sizewise_escalation_drifted{model="tone"} 1.0' in published(engine)

    assert not drifted(7, 3)
    assert drifted(3, 7)


def test_flagged_texts_that_drift_are_seen_in_the_sums_of_several_processes():
    engine, processes = Metrics(), [Counters(), Counters()]
    record(engine, LOADED)

    def drifted(decider, flags):
        for _ in range(60):
            for process in processes:
                process.record_answer(flagged(10, flags, cascade=decider == "cascade"))
                engine.add(process.take())
        series = f'sizewise_flagged_drifted{{decider="{decider}",model="tone"}} 1.0'
        return series in published(engine)

    assert not drifted("tiny", 3)
    assert drifted("tiny", 7)
    assert drifted("tiny", 7)
    assert not drifted("cascade", 3)


def test_a_cascade_that_disagrees_too_often_is_seen_in_the_sums_of_several_processes():
    engine, processes = Metrics(), [Counters(), Counters()]
    record(engine, LOADED)

    def least(disagreements):
        for _ in range(20):
            for process in processes:
                process.record_sample("tone", 4, disagreements)
                engine.add(process.take())
        (line,) = (x for x in published(engine) if x.startswith("sizewise_disagreement_lower"))
        return float(line.split()[-1])

    assert least(0) == 0
    assert least(2) > 0.3
