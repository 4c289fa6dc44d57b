"""What a cascade's stage may say of its confidences, and with which labels it ends a text."""

from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from serving.bundles.cascade import Cascade, check_cascade
from serving.bundles.windows import Windows
from serving.errors import BundleError
from tests.support.cascades import cascade_of

STAGE = cascade_of({"small": "1", "large": "2"}).stages[0]


@pytest.mark.parametrize(
    "confidences",
    [[0.05] * 19, [1.0] * 20, [0.0] * 20, [float("nan")] * 20, [-0.05] * 10 + [0.15] * 10],
    ids=["19", "20 times all", "none", "no numbers", "negative"],
)
def test_confidences_are_twenty_shares_of_all_texts(confidences):
    content = STAGE.model_dump() | {"confidences": confidences}
    with pytest.raises(ValidationError, match="confidences"):
        type(STAGE).model_validate(content)


def test_a_cascade_of_before_has_none():
    content = STAGE.model_dump(exclude={"confidences"})
    assert type(STAGE).model_validate(content).confidences is None


def test_a_cascade_that_was_calibrated_in_windows_is_unproven_once_they_are_others():
    manifests = {
        variant: SimpleNamespace(variant=variant, version=version, multi_label=False)
        for variant, version in (("small", "1"), ("large", "2"))
    }
    its_hash = Windows().fingerprint(manifests.values())
    versions = {"small": "1", "large": "2"}
    made = cascade_of(versions, long="windows", windows_hash=its_hash)

    assert made.unproven({}, manifests, Windows(rule="mean", long="windows")) == []
    assert made.unproven({}, manifests, Windows(rule="max")) == ["small", "large"]
    assert cascade_of(versions).unproven({}, manifests, Windows(rule="max")) == []
    for fields in ({"long": "windows"}, {"windows_hash": its_hash}):
        with pytest.raises(ValidationError, match="windows_hash exactly if long is windows"):
            cascade_of(versions, **fields)


LABELS = ["clear", "mild", "bad"]


def manifests_of(multi_label=False):
    kind = "multi_label" if multi_label else "single_label"
    return {
        variant: SimpleNamespace(
            variant=variant, version=version, family="tone", labels=LABELS, problem_type=kind,
            multi_label=multi_label,
        )
        for variant, version in (("small", "1"), ("large", "2"))
    }  # fmt: skip


def one_sided(early_labels, **stage):
    made = cascade_of({"small": "1", "large": "2"})
    first = made.stages[0].model_copy(update={"early_labels": early_labels, **stage})
    return made.model_copy(update={"stages": [first, made.stages[1]]})


@given(
    st.lists(st.floats(-9, 9), min_size=3, max_size=3),
    st.floats(0, 1),
    st.sets(st.sampled_from(LABELS)),
    st.booleans(),
)
def test_a_one_sided_stage_ends_a_text_if_it_is_sure_and_gives_none_but_its_early_labels(
    logits, threshold, early, multi_label
):
    any_label = STAGE.model_copy(update={"threshold": threshold})
    stage = any_label.model_copy(update={"early_labels": sorted(early)})
    if multi_label:
        answer = {label for label, logit in zip(LABELS, logits, strict=True) if logit >= 0}
    else:
        answer = {LABELS[logits.index(max(logits))]}

    sure = any_label.sure(logits, LABELS, multi_label=multi_label)

    assert stage.sure(logits, LABELS, multi_label=multi_label) == (sure and answer <= early)


def test_a_file_of_before_ends_texts_with_any_label():
    content = STAGE.model_dump(exclude={"early_labels"})
    assert type(STAGE).model_validate(content).early_labels is None
    assert cascade_of({"small": "1", "large": "2"}).one_sided == set()
    assert one_sided([]).one_sided == {"small"}


@pytest.mark.parametrize(
    ("early", "multi_label", "reason"),
    [
        (["clear"], False, None),
        (["clear"], True, None),
        ([], True, None),
        ([], False, "early_labels of small: without any, no text could end early"),
        (["odd"], False, "early_labels of small: no label 'odd': choose from clear, mild, bad"),
        (["clear", "Bad"], True, "no label 'Bad'"),
    ],
)
def test_early_labels_are_the_family_s(early, multi_label, reason):
    if reason is None:
        check_cascade(one_sided(early), manifests_of(multi_label))
        return
    with pytest.raises(BundleError, match=reason):
        check_cascade(one_sided(early), manifests_of(multi_label))


def test_the_last_stage_ends_every_text():
    content = cascade_of({"small": "1", "large": "2"}).model_dump()
    content["stages"][1]["early_labels"] = ["clear"]
    with pytest.raises(ValidationError, match="the last stage ends every text"):
        Cascade.model_validate(content)
