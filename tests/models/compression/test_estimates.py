"""What the steps are estimated to take: by what they do."""

from dataclasses import replace

import pytest

from models.compression.estimates import finish_s, quantize_s, static_s, static_texts
from models.compression.facts import Facts
from models.compression.students import Shape, cost_share, shapes
from tests.support.compression_facts import BASE, MINILM, TEXTS

FACTS = Facts(BASE, TEXTS, 0.04, 0.03, 0.01)


def test_a_number_format_takes_longer_with_more_operators_and_slower_answers():
    whole = quantize_s(FACTS, None)
    half: Shape = next(each for each in shapes(BASE) if each.name == "half")

    assert len(half.layers) == BASE.layers // 2
    assert cost_share(BASE, half) > 0.5
    assert 0.25 * whole < quantize_s(FACTS, half) < 0.6 * whole
    assert whole < quantize_s(replace(FACTS, scoring_s=0.02), None) < 2 * whole


def test_the_sensitivity_of_a_tweets_teacher_is_estimated_as_it_was_measured():
    """164 s on two cores without VNNI: see docs/development/benchmarks/2026-11-30-avx2.md."""
    tweets = replace(TEXTS, rows=3_987, most_tokens=48)

    assert quantize_s(Facts(MINILM, tweets, 0.04, 0.03, 0.0085), None) == pytest.approx(
        164, rel=0.2
    )


def test_a_static_classifier_reads_the_vocabulary_too_if_it_has_a_teacher():
    more = static_texts(FACTS, taught=True) - static_texts(FACTS, taught=False)

    assert more == 8_000
    assert static_s(FACTS, 10, taught=True) > static_s(FACTS, 10, taught=False) + 8_000 * 10 * 1e-4
    slower = replace(FACTS, scoring_s=1.0)
    assert static_s(slower, 10, taught=False) == static_s(FACTS, 10, taught=False)


def test_a_cascade_takes_time_at_the_end():
    assert finish_s(FACTS, cascade=True) > finish_s(FACTS, cascade=False) > 0
