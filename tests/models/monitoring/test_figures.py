import numpy as np
import pytest

from models.monitoring.figures import label_shares, live_accuracy
from serving.bundles.bundle import Manifest
from serving.bundles.evaluation import LabelScore
from tests.support.bundles import evaluation
from tests.support.text_logs import LABELS, feedback_row, text_row


def manifest(**measured):
    judged = evaluation(0.9).model_copy(update=measured)
    return Manifest.model_construct(
        variant="large", version="1", labels=LABELS, evaluations={"test": judged}
    )


def texts(positive, count):
    return [text_row(str(n), f"text {n}", 0.9 if n < positive else 0.1) for n in range(count)]


def test_accuracy_is_counted_by_variant_and_version_and_beside_what_was_measured():
    feedback = [
        *(feedback_row(str(n), "positive", LABELS[n < 60]) for n in range(100)),
        *(feedback_row(str(n), "positive", "positive", variant="small") for n in range(7)),
        *(feedback_row(str(n), "positive", "positive", version="0") for n in range(5)),
    ]

    large, small, before = live_accuracy(feedback, {"large": manifest()})

    assert (large.variant, large.n, large.accuracy.value) == ("large", 100, 0.6)
    assert large.accuracy.low == pytest.approx(0.4972, abs=1e-3)  # Clopper and Pearson
    assert large.measured.value == 0.9
    assert large.is_lower
    assert (small.variant, small.measured, small.is_lower) == ("small", None, False)
    assert (before.version, before.measured) == ("0", None)


@pytest.mark.parametrize(
    "measured",
    [
        {"confusion": [[400, 100], [100, 400]]},
        {
            "labels": {
                name: LabelScore(precision=0.8, recall=0.8, f1=0.8, texts=500) for name in LABELS
            }
        },
    ],
)
def test_a_label_has_drifted_if_its_share_is_outside_what_chance_explains(measured):
    same = label_shares(texts(500, 1000), manifest(**measured))
    moved = label_shares(texts(650, 1000), manifest(**measured))

    assert [each.measured.value for each in same] == [0.5, 0.5]
    assert [each.has_drifted for each in same] == [False, False]
    assert [each.live.value for each in moved] == [0.35, 0.65]
    assert [each.has_drifted for each in moved] == [True, True]


def test_a_label_that_was_never_given_has_a_share_of_zero():
    scores = {
        "negative": LabelScore(precision=None, recall=0.0, f1=None, texts=10),
        "positive": LabelScore(precision=0.99, recall=1.0, f1=0.99, texts=990),
    }
    negative, positive = label_shares(texts(90, 100), manifest(labels=scores))

    assert (negative.measured.value, positive.measured.value) == (0.0, 1.0)
    assert negative.has_drifted


def test_nothing_is_compared_without_texts_or_scores():
    assert label_shares([], manifest(confusion=[[1, 0], [0, 1]])) == []
    assert label_shares(texts(1, 2), manifest()) == []


def test_labels_that_have_not_moved_are_seldom_said_to_have():
    generator = np.random.default_rng(0)
    said = 0
    for _ in range(200):
        before = int(generator.binomial(1000, 0.3))
        rows = texts(int(generator.binomial(300, 0.3)), 300)
        confusion = [[1000 - before, 0], [0, before]]
        said += any(each.has_drifted for each in label_shares(rows, manifest(confusion=confusion)))

    assert said <= 10
