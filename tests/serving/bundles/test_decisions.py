"""decisions.json: what is no decisions.json, and what of one applies to what is served."""

import json
from types import SimpleNamespace

import pytest

from serving.bundles.decisions import Decisions, applied, check_decisions, unproven_in
from serving.bundles.files import parse
from serving.bundles.windows import Windows
from serving.errors import BundleError
from tests.support.cascades import cascade_of
from tests.support.decisions import decider, decisions_of

VERSIONS = {"tiny": "t1", "wide": "w1"}
CASCADE = cascade_of(VERSIONS)
THRESHOLDS = {"negative": 0.8, "positive": 0.4}
BOTH = decisions_of(
    decider(VERSIONS, THRESHOLDS, variant="tiny", engines={"tiny": "onnxruntime, int8"}),
    decider(VERSIONS, THRESHOLDS, cascade=CASCADE, engines={"wide": "openvino, bf16"}),
)


def manifests(versions=VERSIONS):
    return [
        SimpleNamespace(
            variant=variant, version=version, labels=list(THRESHOLDS), multi_label=False
        )
        for variant, version in versions.items()
    ]


@pytest.mark.parametrize(
    ("versions", "cascade", "keys", "undecided"),
    [
        (VERSIONS, CASCADE, [("tiny", "t1"), None], ["wide"]),
        (VERSIONS, None, [("tiny", "t1")], ["wide"]),
        (VERSIONS | {"wide": "w2"}, CASCADE, [("tiny", "t1")], ["wide", "cascade"]),
        (VERSIONS | {"tiny": "t2"}, CASCADE, [], ["tiny", "wide", "cascade"]),
        (VERSIONS, cascade_of(VERSIONS, threshold=0.8), [("tiny", "t1")], ["wide", "cascade"]),
    ],
)
def test_thresholds_apply_to_exactly_what_they_were_made_for(versions, cascade, keys, undecided):
    found = applied(BOTH, manifests(versions), cascade, Windows())

    assert found.thresholds == dict.fromkeys(keys, THRESHOLDS)
    assert [each.key for each in found.deciders] == keys
    assert found.undecided == undecided


WINDOWS = Windows(rule="max", temperatures={"a" * 16: 2.0})
AT = {"tiny": "a" * 16, "wide": "f" * 16}


@pytest.mark.parametrize(
    ("windows", "fits"),
    [
        (WINDOWS, True),
        (WINDOWS.model_copy(update={"long": "truncate", "texts_sha256": "0" * 64}), True),
        (WINDOWS.model_copy(update={"temperatures": {AT["tiny"]: 2.0, "0" * 16: 3.0}}), True),
        (WINDOWS.model_copy(update={"temperatures": {}}), False),
        (WINDOWS.model_copy(update={"overlap": 0.5}), False),
        (WINDOWS.model_copy(update={"rule": None}), False),
    ],
)
def test_thresholds_of_texts_in_windows_are_stale_if_what_decides_a_score_there_has_changed(
    windows, fits
):
    tiny, wide = served = manifests(AT)
    made = [
        decider(AT, THRESHOLDS, variant="tiny", windows_hash=WINDOWS.fingerprint([tiny])),
        decider(AT, THRESHOLDS, cascade=CASCADE, windows_hash=WINDOWS.fingerprint([tiny, wide])),
    ]

    found = applied(decisions_of(*made, long="windows"), served, CASCADE, windows)

    assert found.deciders == (made if fits else [])
    assert found.undecided == (["wide"] if fits else ["tiny", "wide", "cascade"])


def test_a_family_without_decisions_has_nothing_undecided():
    assert applied(None, manifests(), CASCADE, Windows()) == (None, [], [], None)


def test_the_variants_that_run_otherwise_than_when_it_was_shown_are_named():
    its = applied(BOTH, manifests(), CASCADE, Windows())
    shown = {"tiny": "onnxruntime, int8", "wide": "openvino, bf16"}

    now = (manifests(), Windows())
    assert unproven_in(CASCADE, its, shown, *now) == []
    assert unproven_in(CASCADE, its, shown | {"wide": "openvino, fp32"}, *now) == ["wide"]
    stale = applied(BOTH, manifests(VERSIONS | {"wide": "w2"}), CASCADE, Windows())
    assert unproven_in(None, stale, shown | {"wide": "openvino, fp32"}, *now) == []


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda made: made.update(targets=made["targets"][:1]), "tiny decides other labels"),
        (lambda made: made.update(targets=made["targets"][:1] * 2), "a label has two targets"),
        (lambda made: made.update(deciders=made["deciders"][:1] * 2), "a variant appears twice"),
        (lambda made: made["deciders"][0].update(cascade_hash="a"), "either variant or cascade"),
        (lambda made: made["deciders"][1].update(cascade_hash=None), "either variant or cascade"),
        (lambda made: made["deciders"][0].update(versions=VERSIONS), "the version of tiny"),
        (lambda made: made["targets"][0].update(min_recall=0.9), "either max_false_positive_rate"),
        (lambda made: made["targets"][0].update(max_false_positive_rate=0), "greater than"),
        (lambda made: made["deciders"][0]["labels"][0].update(threshold=1.1), "less than or equal"),
        (
            lambda made: made["deciders"][0]["labels"][0].update(
                curve=made["deciders"][0]["labels"][0]["curve"] * 51
            ),
            "at most 50 items",
        ),
        (lambda made: made.update(long="windows"), "tiny has to have a windows_hash exactly with"),
        (lambda made: made["deciders"][1].update(windows_hash="a"), "cascade has to have a window"),
        (lambda made: made.update(long="refuse"), "long"),
        (lambda made: made.update(extra=1), "Extra inputs"),
    ],
)
def test_a_file_that_contradicts_itself_is_none(change, reason):
    made = json.loads(BOTH.model_dump_json())
    assert parse(Decisions, json.dumps(made), "decisions.json") == BOTH
    change(made)

    with pytest.raises(BundleError, match=reason):
        parse(Decisions, json.dumps(made), "decisions.json")


def test_other_families_and_labels_are_refused_and_other_versions_are_not():
    by_name = {each.variant: each for each in manifests()}
    check_decisions(BOTH, "tone", by_name)
    with pytest.raises(BundleError, match=r"made for tone, not for mood"):
        check_decisions(BOTH, "mood", by_name)
    odd = decisions_of(decider(VERSIONS, {"odd": 0.5}, variant="tiny"))
    with pytest.raises(
        BundleError, match=r"tiny has no label 'odd': choose from negative, positiv"
    ):
        check_decisions(odd, "tone", by_name)
    check_decisions(odd, "tone", {"tiny": manifests({"tiny": "t2"})[0]})


def test_the_targets_are_said_in_words():
    assert [each.words for each in BOTH.targets] == [
        "negative: false-positive rate at most 10.00%",
        "positive: false-positive rate at most 10.00%",
    ]
