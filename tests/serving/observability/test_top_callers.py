from types import SimpleNamespace

from serving.bundles.files import NAME
from serving.observability.counters import ANONYMOUS, SERVED, SERVED_TEXTS, Counters
from serving.observability.metrics import Metrics
from serving.observability.top_callers import MOST_CALLERS, OTHERS, TopCallers
from tests.support.metric_events import CLASSIFY
from tests.support.metric_values import samples, total


def ask(counters, caller, requests=1, status=200, reason="", *, texts=1):
    asked = SimpleNamespace(caller=caller, texts=texts, tokens=7 * texts)
    for _ in range(requests):
        counters.record_request(CLASSIFY, "tone", status, 0.001, reason, inference=asked)


def page_of(metrics):
    return metrics.page([], 0, ready=True)[0].decode()


def test_each_caller_has_its_requests_by_outcome_and_its_texts_and_tokens():
    metrics = Metrics()
    ask(metrics, "search", 3, texts=2)
    ask(metrics, "search", 2, 429, "rate_limited")
    ask(metrics, "search", 4, 429, "overloaded")
    ask(metrics, "search", 1, 500, "internal_error")
    ask(metrics, "search", 5, 422, "invalid_field")
    ask(metrics, "search", 6, 499)
    ask(metrics, "", 7, 401, "unauthorized")
    page = page_of(metrics)

    counted = {
        (labels["caller"], labels["outcome"]): value
        for (name, given), value in samples(page).items()
        if name == "sizewise_caller_requests_total" and (labels := dict(given)) and value
    }
    assert counted == {
        ("search", "answered"): 3,
        ("search", "rate_limited"): 2,
        ("search", "failed"): 5,
        ("search", "invalid"): 5,
        ("search", "left"): 6,
        ("_anonymous", "invalid"): 7,
    }
    assert total(page, "sizewise_caller_texts_total", caller="search") == 6
    assert total(page, "sizewise_caller_tokens_total", caller="search") == 42


def test_two_hundred_callers_have_a_bounded_number_of_series_and_no_request_is_forgotten():
    metrics = Metrics()
    for number in range(200):
        ask(metrics, f"caller-{number}", 1 + number)
    page = page_of(metrics)

    named = {dict(labels).get("caller") for _, labels in samples(page)} - {None}
    busiest = {f"caller-{number}" for number in range(200 - MOST_CALLERS, 200)}
    assert named == busiest | {"_other"}
    assert total(page, "sizewise_caller_requests_total") == 200 * 201 / 2
    assert len(samples(page_of(metrics))) == len(samples(page))


def test_no_caller_of_a_file_has_the_name_of_those_that_share_series():
    metrics = Metrics()
    for number in range(MOST_CALLERS):
        ask(metrics, f"caller-{number}", 100)
    ask(metrics, "other", 1000)
    ask(metrics, "anonymous", 1001)
    ask(metrics, "", 1002, 401, "unauthorized")
    page = page_of(metrics)

    counted = {
        caller: total(page, "sizewise_caller_requests_total", caller=caller)
        for caller in ("other", "anonymous", ANONYMOUS, *OTHERS)
    }
    assert list(counted.values()) == [1000, 1001, 1002, 300]
    assert not any(NAME.fullmatch(each) for each in (ANONYMOUS, *OTHERS))


def test_the_others_grow_only_by_what_happens_when_a_caller_loses_its_series():
    counters, top = Counters(), TopCallers(most=1)
    ask(counters, "old", 1000)
    top.fold(counters.callers)
    ask(counters, "new", 5000)
    ask(counters, "old", 3)
    top.fold(counters.callers)

    assert {key: row[SERVED] for key, row in counters.callers.items()} == {
        ("new",): 5000,
        OTHERS: 3,
    }


def test_a_caller_keeps_its_series_beside_one_that_is_hardly_busier():
    counters, top = Counters(), TopCallers(most=1)
    ask(counters, "first", 100)
    top.fold(counters.callers)
    for _ in range(50):
        ask(counters, "first", 10)
        ask(counters, "second", 12)
        top.fold(counters.callers)

    assert set(counters.callers) == {("first",), OTHERS}


def test_a_caller_that_becomes_the_busiest_by_far_gets_its_series_though_it_had_none():
    counters, top = Counters(), TopCallers(most=1)
    ask(counters, "first", 5000)
    top.fold(counters.callers)
    for _ in range(400):
        ask(counters, "second", 40)
        top.fold(counters.callers)

    assert ("second",) in counters.callers
    assert ("first",) not in counters.callers


def test_callers_that_have_gone_leave_nothing_behind():
    counters, top = Counters(), TopCallers(most=1)
    for number in range(20):
        ask(counters, f"caller-{number}", 1 + number)
    for _ in range(1000):
        top.fold(counters.callers)

    assert len(counters.callers) == len(counters.callers.created) == 2
    assert sum(sum(row[:SERVED_TEXTS]) for row in counters.callers.values()) == 210
    assert len(vars(top)["_lately"]) <= 2
