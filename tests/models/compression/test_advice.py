"""Which variant is advised, by drop, bytes and latency, and what is said of it."""

from pathlib import Path

import numpy as np
import pytest

from models.compression.advice import advise, beside, comparison
from models.compression.wanted import Wanted
from models.evaluation.noninferiority import largest_loss
from models.evaluation.statistics import proportion
from serving.bundles.evaluation import Agreement, Paired
from tests.support.bundles import evaluation, manifest_of
from tests.support.cascades import cascade_of

TEXTS = 300
NAMES = ("original", "int8", "int4")
LATENCIES_MS = dict(zip(NAMES, (8.0, 3.0, 4.0), strict=True))
BYTES = dict(zip(NAMES, (4_000_000, 1_000_000, 500_000), strict=True))


def wanted(**fields):
    here = Path(__file__)
    return Wanted(
        source="source", data=(here,), family="mood", recipes=here, registry=here, **fields
    )


def agreeing(variant, otherwise):
    """A variant that answers so many texts otherwise than the original."""
    share = proportion(np.arange(TEXTS) >= otherwise)
    found = Agreement(
        family="mood", variant="original", version="1", texts_sha256="0" * 64, n=TEXTS, share=share
    )
    return manifest_of(variant, BYTES[variant], None, agreement=found)


def scored(variant, losses):
    """A variant that loses so many texts against the original, by split."""
    made = manifest_of(variant, BYTES[variant], 0.9)
    if variant == "original":
        return made.model_copy(update={"evaluations": dict.fromkeys(losses, evaluation(0.9))})
    difference = {"value": 0.0, "low": 0.0, "high": 0.0}
    pairs = {
        split: Paired(better=0, worse=worse, p_value=1.0, difference=difference)
        for split, worse in losses.items()
    }
    evaluations = {
        split: evaluation(0.9).model_copy(update={"n": TEXTS, "versus": {"original": pair}})
        for split, pair in pairs.items()
    }
    return made.model_copy(update={"evaluations": evaluations})


def unlabelled(int4=1):
    return [agreeing("original", 0), agreeing("int8", 0), agreeing("int4", int4)]


def test_texts_that_choose_and_judge_have_bounds_that_hold_for_all_variants_together():
    advice = advise(unlabelled(), LATENCIES_MS, "original", wanted())

    alone, together = (largest_loss(0, 1, TEXTS, share) for share in (0.95, 0.975))
    assert f"{100 * alone:.1f}" != f"{100 * together:.1f}"
    assert advice.variant == "int4"
    assert f"on the texts it loses 0.3 (at most {100 * together:.1f}) points" in advice.says
    assert advice.says.endswith("with 95 % confidence, so --max-drop is shown to hold.")
    assert "validation" not in comparison(unlabelled(), LATENCIES_MS, "original")


def test_where_one_split_chooses_the_other_judges():
    splits = {"original": (0, 0), "int8": (0, 0), "int4": (1, 30)}
    made = [
        scored(name, {"validation": chooses, "test": judges})
        for name, (chooses, judges) in splits.items()
    ]

    advice = advise(made, LATENCIES_MS, "original", wanted())

    assert advice.variant == "int4"
    assert "on the test split it loses 10.0 (at most" in advice.says
    assert "more than --max-drop" in advice.says
    assert "drop on validation" in comparison(made, LATENCIES_MS, "original")


@pytest.mark.parametrize(
    ("limits", "variant"),
    [
        ({"latency_ms": 10.0}, "int4"),
        ({"latency_ms": 3.5}, "int8"),
        ({"latency_ms": 1.0}, None),
        ({"max_bytes": 2_000_000}, "int4"),
        ({"max_bytes": 600_000, "latency_ms": 3.5}, None),
        ({"max_bytes": 100}, None),
    ],
)
def test_every_limit_holds_or_nothing_is_advised(limits, variant):
    advice = advise(unlabelled(), LATENCIES_MS, "original", wanted(**limits))

    assert advice.variant == variant
    if variant is None:
        assert "int4 is the smallest with 0.50 MB and int8 the fastest with 3.00 ms" in advice.says
        assert advice.says.endswith(
            "Allow more. All variants are served, so a request may name one."
        )


def test_one_variant_that_does_not_fit_is_named_once():
    manifests = unlabelled()[:1]

    says = advise(manifests, LATENCIES_MS, "original", wanted(max_bytes=100)).says

    size = f"{manifests[0].bytes / 1e6:,.2f} MB"
    assert f"original is the smallest with {size} and the fastest with" in says
    assert says.endswith("Allow more.")


def test_what_is_small_enough_but_loses_too_much_is_named_too():
    advice = advise(unlabelled(int4=30), LATENCIES_MS, "original", wanted(max_bytes=600_000))

    assert advice.variant is None
    assert "int8 is the smallest with 1.00 MB" in advice.says
    assert "within the other limits int4 loses least, 10.0 (at most" in advice.says
    assert "points, with 95 % confidence, of agreement with the original." in advice.says


@pytest.mark.parametrize(
    ("unmade", "more"),
    [
        ([], False),
        ([400_000], False),
        ([550_000], True),
        ([700_000], False),
        ([400, 550_000], True),
    ],
)
def test_more_minutes_are_advised_only_for_what_fits_and_may_lose_less(unmade, more):
    limits = wanted(max_bytes=600_000)

    advice = advise(unlabelled(int4=30), LATENCIES_MS, "original", limits, unmade)

    assert ("--minutes" in advice.says) == more


@pytest.mark.parametrize(("published", "its"), [(True, "'s 90.0 % ("), (False, ", ")])
def test_the_advice_names_what_it_compares_with(published, its):
    names = ("original", "int8") if published else ("int8",)
    made = [scored(name, {"validation": 0, "test": 0}) for name in names]

    says = advise(made, LATENCIES_MS, "original", wanted()).says

    assert f"accuracy against original{its}" in says


def test_a_static_classifier_alone_is_not_held_against_a_teacher_that_is_not_there():
    made = [scored(name, {"validation": 0, "test": 0}) for name in ("original", "int8")]
    made[0] = made[0].model_copy(update={"recipe": {"static": {"epochs": 8}}})

    says = advise(made, LATENCIES_MS, "original", wanted()).says

    assert says.endswith("which says nothing of what a larger model would reach.")


def timed(variant, texts_per_second):
    made = manifest_of(variant, BYTES[variant], 0.9)
    its = made.evaluations["test"].model_copy(update={"texts_per_second": texts_per_second})
    return made.model_copy(update={"evaluations": {"test": its}})


@pytest.mark.parametrize(
    ("advised", "its"),
    [("int8", ", where int8 has 1.50 times by its card"), ("original", ""), (None, "")],
)
def test_a_cascade_is_compared_with_what_is_advised(advised, its):
    manifests = [timed("original", 100), timed("int8", 150)]
    lost = {"value": -0.004, "low": -0.01, "high": 0.001}
    cascade = cascade_of(
        {"int8": "1", "original": "1"},
        versus=Paired(better=1, worse=5, p_value=0.2, difference=lost),
        bound=0.0081,
    )

    assert beside(cascade, manifests, advised, wanted()) == (
        f"int8, original (5.00 MB): 4.00 times the throughput of original{its}; a lone text takes "
        "1.00 ms at the median and 1.00 at the 99th percentile, 1.00 and 1.00 by original; on the "
        "test split it loses 0.4 points against original; at most 0.8 are guaranteed, with 95 % "
        "confidence"
    )


def test_a_cascade_that_was_not_judged_has_its_bound_alone():
    cascade = cascade_of({"int8": "1", "original": "1"})
    manifests = [manifest_of(each, BYTES[each], None) for each in ("original", "int8")]

    assert beside(cascade, manifests, "int8", wanted()) == (
        "int8, original (5.00 MB): 4.00 times the throughput of original; a lone text takes 1.00 "
        "ms at the median and 1.00 at the 99th percentile, 1.00 and 1.00 by original; at most 0.8 "
        "are guaranteed, with 95 % confidence"
    )


@pytest.mark.parametrize(
    ("limits", "beyond"),
    [
        ({"max_bytes": 5_000_000}, ""),
        ({"max_bytes": 4_500_000}, "; it is beyond --max-bytes"),
        ({"latency_ms": 1.0}, ""),
        ({"max_bytes": 1, "latency_ms": 0.9}, "; it is beyond --max-bytes and --latency-ms"),
    ],
)
def test_a_cascade_beyond_a_limit_is_said_to_be(limits, beyond):
    cascade = cascade_of({"int8": "1", "original": "1"})
    manifests = [manifest_of(each, BYTES[each], None) for each in NAMES]

    says = beside(cascade, manifests, "int8", wanted(**limits))

    assert says.partition("confidence")[2] == beyond
