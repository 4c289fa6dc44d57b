"""What becomes of a request, by the labels of its texts."""

import math
from types import SimpleNamespace

import pytest

from serving.errors import MalformedBody, Overloaded, UnknownModel
from serving.protocols.ext_proc.verdict import Verdict, check_kind, failed, judged
from serving.variants.answers import Answer, Classified, Misconfigured, Undecided, summed_up

LABELS = ["fine", "rude", "spam"]


def answered(*scores, least=None, thresholds=None):
    answers = [Answer(list(each), [], "v", "1", 1.0, None, 0.0, 0.0) for each in scores]
    return summed_up(
        "f",
        answers,
        [Classified(LABELS, least, "v", "1", answers, 0, 0.0, 0.0, None)],
        None,
        thresholds,
    )


def test_a_request_is_flagged_by_any_of_its_texts_and_named_for_the_highest_score():
    several = answered((0.1, 0.6, 0.3), (0.9, 0.05, 0.05), (0.1, 0.2, 0.7))

    assert judged(several, ["fine"], blocks=True) == Verdict("blocked", "spam", 0.7)
    assert judged(several, ["fine", "spam"], blocks=False) == Verdict("marked", "rude", 0.6)
    assert judged(answered((0.6, 0.2, 0.2)), ["fine"], blocks=True) == Verdict("passed")


def test_of_several_labels_every_one_that_applies_flags_unless_it_is_harmless():
    both = answered((0.9, 0.6, 0.2), least=0.5)

    assert judged(both, None, blocks=True) == Verdict("blocked", "fine", 0.9)
    assert judged(both, ["fine"], blocks=True) == Verdict("blocked", "rude", 0.6)
    assert judged(answered((0.1, 0.1, 0.1), least=0.5), None, blocks=True) == Verdict("passed")


@pytest.mark.parametrize("least", [None, -math.inf])
def test_a_family_that_would_flag_everything_must_say_what_is_harmless(least):
    with pytest.raises(Misconfigured, match="harmless") as refused:
        judged(answered((0.2, 0.3, 0.5), least=least), None, blocks=True)

    assert (refused.value.reason, refused.value.status) == ("misconfigured", 503)


def test_a_text_that_is_undecided_is_no_harmless_one_but_another_may_flag():
    both = answered((0.1, 0.6, 0.3), (0.9, 0.05, 0.05), thresholds={("v", "1"): {"rude": 0.5}})
    assert judged(both, None, blocks=True) == Verdict("blocked", "rude", 0.6)

    both.answers[0].version = "2"
    with pytest.raises(Undecided):
        judged(both, ["fine"], blocks=True)
    both.answers[1].scores = [0.4, 0.6, 0.0]
    assert judged(both, ["fine"], blocks=True) == Verdict("blocked", "rude", 0.6)


@pytest.mark.parametrize(
    "fields", [{"pairs": True}, {"tensors": ["x"]}, {"problem_type": "regression"}]
)
def test_a_family_that_classifies_no_single_texts_is_the_operators_fault(fields):
    usual = {"pairs": False, "tensors": [], "problem_type": "single_label"}
    check_kind(SimpleNamespace(name="f", default_manifest=SimpleNamespace(**usual)))

    with pytest.raises(Misconfigured, match="f does not classify single texts"):
        check_kind(SimpleNamespace(name="f", default_manifest=SimpleNamespace(**usual | fields)))


def test_what_cannot_be_judged_goes_on_only_if_that_is_set():
    error = Overloaded("busy")

    assert failed(error, opens=True) == Verdict("failed_open", error=error)
    assert failed(error, opens=True).goes_on
    assert not failed(error, opens=False).goes_on
    assert failed(UnknownModel("none"), opens=True).goes_on


@pytest.mark.parametrize("opens", [True, False])
def test_what_its_client_can_mend_never_goes_on(opens):
    error = MalformedBody("no JSON")

    assert failed(error, opens=opens) == Verdict("refused", error=error)
    assert not failed(error, opens=opens).goes_on
