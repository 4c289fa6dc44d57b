import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving.errors import InvalidField, UnknownRequest
from serving.feedback.answered import AnsweredRequest, AnsweredRequests

MOST = 6
LABELS = ["bad", "good", "odd"]


def answered(request_id="one", *, caller="", at_s=0.0, texts=1, labels=LABELS, one_label=True):
    found = [("tiny", "1", ("good",))] * texts
    return AnsweredRequest(caller, request_id, at_s, "tone", labels, one_label, found)


def kept(requests, ids, caller=""):
    """Which of these requests feedback can be given on."""
    found = []
    for each in ids:
        try:
            requests.give(caller, each, 0, ["good"])
        except UnknownRequest:
            continue
        found.append(each)
    return found


@given(st.lists(st.tuples(st.sampled_from("abcdef"), st.integers(1, 5)), max_size=30))
def test_the_newest_requests_are_kept_and_never_more_texts_than_allowed(added):
    requests = AnsweredRequests(MOST, 10, clock=lambda: 0.0)
    newest = []
    for name, texts in added:
        requests.add(answered(name, texts=texts))
        newest = [(name, texts), *((old, its) for old, its in newest if old != name)]
        while sum(its for _, its in newest) > MOST:
            newest.pop()

    assert set(kept(requests, "abcdef")) == {name for name, _ in newest}


def test_a_request_of_more_texts_than_are_kept_pushes_no_other_out():
    requests = AnsweredRequests(3, 10, clock=lambda: 0.0)
    requests.add(answered("small", texts=3))
    requests.add(answered("large", texts=4))

    assert kept(requests, ["small", "large"]) == ["small"]


def test_a_request_is_forgotten_after_its_time_even_if_none_follows():
    now_s = [0.0]
    requests = AnsweredRequests(100, 10, clock=lambda: now_s[0])
    requests.add(answered("first", at_s=0.0))
    requests.add(answered("second", at_s=5.0))
    now_s[0] = 10.5

    assert kept(requests, ["first", "second"]) == ["second"]
    assert len(requests._requests) == 1


def test_each_caller_knows_its_own_requests_alone():
    requests = AnsweredRequests(100, 10, clock=lambda: 0.0)
    requests.add(answered("same", caller="search"))

    assert kept(requests, ["same"], "search") == ["same"]
    assert kept(requests, ["same"], "nightly") == []
    requests.remove("nightly", "same")
    assert kept(requests, ["same"], "search") == ["same"]
    requests.remove("search", "same")
    assert kept(requests, ["same"], "search") == []


def test_feedback_counts_once_until_it_changes():
    requests = AnsweredRequests(100, 10, clock=lambda: 0.0)
    requests.add(answered(texts=2))

    given_ones = [
        requests.give("", "one", index, [label])
        for index, label in [(0, "good"), (0, "good"), (0, "bad"), (1, "bad"), (0, "bad")]
    ]

    assert [each.is_new for each in given_ones] == [True, False, True, True, False]
    assert [each.is_right for each in given_ones] == [True, True, False, False, False]


@pytest.mark.parametrize(
    ("request_kept", "index", "labels", "field"),
    [
        (answered(texts=2), 2, ["good"], "index"),
        (answered(), 0, ["good", "great"], "labels[1]"),
        (answered(), 0, [], "labels"),
        (answered(), 0, ["good", "bad"], "labels"),
        (answered(one_label=False), 0, ["good", "good"], "labels"),
        (answered(labels=()), 0, ["good"], "request_id"),
    ],
)
def test_what_cannot_be_right_is_refused_with_its_field(request_kept, index, labels, field):
    requests = AnsweredRequests(100, 10, clock=lambda: 0.0)
    requests.add(request_kept)

    with pytest.raises(InvalidField) as refused:
        requests.give("", "one", index, labels)

    assert refused.value.field == field


def test_of_several_labels_any_number_may_be_right():
    requests = AnsweredRequests(100, 10, clock=lambda: 0.0)
    requests.add(answered(one_label=False))

    assert not requests.give("", "one", 0, []).is_right
    assert not requests.give("", "one", 0, ["good", "odd"]).is_right
    assert requests.give("", "one", 0, ["good"]).is_right
