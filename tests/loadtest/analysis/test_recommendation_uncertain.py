"""What is not recommended, because it is not known well enough."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadtest.analysis.capacity import capacity, load_points
from loadtest.analysis.recommendation import SizingRequirements, recommend
from loadtest.analysis.replica_curve import replica_curve
from loadtest.analysis.summary import combine
from loadtest.report.recommendation_text import recommendation_text
from loadtest.sizing.autoscaling import SimulationConfig, scaling_signals, simulate
from loadtest.sizing.helm_values import write_values
from tests.support.queues import phase, served
from tests.support.reports import report

REQUIRED = SizingRequirements(20.0, 0.85, 2000.0)


def with_upper_bounds(times):
    """A report whose p99s may be so many times higher."""
    told = report()
    for variant in told["variants"]:
        for load in variant["loads"].values():
            p99 = load["latency_ms"]["p99"]
            p99["high"] = times and times * p99["value"]
    return told


@pytest.mark.parametrize(
    ("times", "is_certain", "says"),
    [
        (1.2, True, "deploy tone/small on 6 replicas"),
        (3.5, False, "at the upper bounds of their intervals: 11 replicas would be needed"),
        (9.0, False, "at the upper bounds of their intervals: no number would be enough"),
        (None, False, "at the upper bounds of their intervals: no number would be enough"),
    ],
)
def test_an_interval_that_spans_a_factor_is_no_recommendation(tmp_path, times, is_certain, says):
    found = recommend(with_upper_bounds(times), REQUIRED)
    said = recommendation_text(found)

    assert found.chosen.replicas_if_exact == 5
    assert found.is_certain is is_certain
    assert says in said
    assert ("No recommendation" in said) is not is_certain
    if not is_certain:
        with pytest.raises(ValueError, match="nothing is recommended"):
            write_values(found, 2, "the command", tmp_path / "values.yaml")
        assert not (tmp_path / "values.yaml").exists()


def test_a_factor_by_rounding_alone_is_certain():
    """1.9 and 2.1 replicas are two and three; 0.9 and 1.1 are one and two."""
    required = SizingRequirements(20.0, 0.85, 400.0)
    found = recommend(with_upper_bounds(1.3), required)
    assert (found.chosen.replicas_if_exact, found.chosen.replicas_if_slow) == (1, 2)
    assert (found.chosen.replicas, found.is_certain) == (2, True)


@given(st.floats(1.0, 2.5), st.floats(100.0, 50_000.0))
def test_the_targets_hold_as_many_replicas_as_are_recommended(times, rps):
    """By the p99s themselves, they were for replicas that each carry up to twice as much."""
    chosen = recommend(with_upper_bounds(times), SizingRequirements(20.0, 0.85, rps)).chosen
    if chosen.is_certain:
        assert math.ceil(rps / chosen.targets.rate_rps - 1e-9) == chosen.replicas


@pytest.mark.parametrize("times", [1.2, 1.6, 2.0])
def test_a_steady_load_keeps_the_replicas_that_the_upper_bounds_asked_for(times):
    """In half an hour the autoscaler removed them: of 31, 36 and 41 it left 27 to 28."""
    required = SizingRequirements(20.0, 0.85, 12_000.0)
    told = with_upper_bounds(times)
    chosen = recommend(told, required).chosen
    curve = replica_curve(next(v for v in told["variants"] if v["variant"] == chosen.variant))
    config = SimulationConfig(
        curve, 0.02, smallest=2, largest=99, first=chosen.replicas, start_s=13.0
    )
    signal = scaling_signals(chosen.targets, curve, 0.7)["queue time + in flight"]
    played = simulate([required.rps] * 1800, config, signal)

    assert chosen.is_certain
    assert min(second.ready for second in played.seconds) >= 0.9 * chosen.replicas


@pytest.mark.parametrize("unknown", [["open-20%"], ["open-20%", "open-40%"], ["open-80%"]])
def test_an_unknown_upper_bound_is_that_of_the_next_higher_rate(unknown):
    """With infinity in its place, one unknown bound at the lowest rate refused them all."""
    told = with_upper_bounds(1.2)
    for name in unknown:
        told["variants"][1]["loads"][name]["latency_ms"]["p99"]["high"] = None
    found = recommend(told, REQUIRED)
    assert (found.chosen.variant, found.chosen.replicas) == ("small", 6)
    assert found.is_certain


def test_of_two_variants_the_certain_one_is_recommended_and_the_other_named(tmp_path):
    told = report()
    for load in told["variants"][1]["loads"].values():
        load["latency_ms"]["p99"]["high"] *= 3.0
    found = recommend(told, REQUIRED)
    said = recommendation_text(found)
    assert (found.chosen.variant, found.uncertain.variant) == ("large", "small")
    assert "deploy tone/large on " in said
    assert "perhaps enough, but its p99s are too uncertain: tone/small on 5 replicas" in said
    write_values(found, 2, "the command", tmp_path / "values.yaml")
    assert "# tone/large" in (tmp_path / "values.yaml").read_text()


CAPACITY_RPS, SLO_MS, RUNS = 500.0, 20.0, 300


def measured(random, rounds):
    """A report of an M/M/1 server whose speed differs from round to round, by 30 %."""
    loads = {}
    for share in (0.2, 0.4, 0.6):
        drawn = [
            served(random, of, CAPACITY_RPS * random.lognormal(0.0, 0.3))
            for of in (
                phase(share * CAPACITY_RPS, number=number, measured_s=3.0)
                for number in range(rounds)
            )
        ]
        loads[f"open-{share:.0%}"] = combine(drawn, SLO_MS).as_json() | {"on_curve": True}
    return report() | {"variants": [report()["variants"][1] | {"loads": loads}]}


@pytest.mark.slow
def test_of_what_is_recommended_from_few_disturbed_rounds_little_is_too_little():
    """Too little is less than two thirds of what the p99s of sixty rounds need.

    Of 44 recommendations 8 are; with the replicas that the p99s themselves need 22 would be. The
    bound is a quarter: three rounds cannot show what one round in twenty does.
    """
    random = np.random.default_rng(11)
    required = SizingRequirements(SLO_MS, 0.85, 20_000.0, headroom=0.0)
    enough = recommend(measured(random, 60), required).chosen.replicas_if_exact
    found = [recommend(measured(random, 3), required) for _ in range(RUNS)]
    certain = [each.chosen for each in found if each.is_certain]
    assert len(certain) > 30
    assert np.mean([each.replicas_if_exact < enough / 1.5 for each in certain]) > 0.4
    assert np.mean([each.replicas < enough / 1.5 for each in certain]) <= 0.25


def test_an_unknown_upper_bound_is_none_without_one_at_a_higher_rate():
    loads = with_upper_bounds(None)["variants"][0]["loads"].values()
    assert capacity(load_points(loads, "value"), 20.0)
    assert capacity(load_points(loads, "high"), 1e9) is None
