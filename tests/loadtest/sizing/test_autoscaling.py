"""The HPA's arithmetic by its documentation's examples, and the fluid model's bookkeeping."""

import math
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from loadtest.__main__ import main
from loadtest.analysis.capacity import capacity, load_points, predicted_p99_ms
from loadtest.analysis.replica_curve import replica_curve, scaling_targets
from loadtest.sizing.autoscaling import (
    TRACES,
    SimulationConfig,
    read_trace,
    scaling_signals,
    simulate,
)
from loadtest.sizing.hpa import Autoscaler, Behaviour, ScalingPolicy, proposal
from tests.support.reports import variant

CURVE = replica_curve(variant("small", 0.86, 800.0, 4.0))
FOUND = scaling_targets(variant("small", 0.86, 800.0, 4.0), 20.0, 0.2)
KUBERNETES = Behaviour(
    up=(ScalingPolicy("Percent", 100, 15.0), ScalingPolicy("Pods", 4, 15.0)),
    down=(ScalingPolicy("Percent", 100, 15.0),),
)
SIGNALS = scaling_signals(FOUND, CURVE, 0.7)


def setting(first=2, largest=30):
    return SimulationConfig(
        CURVE, slo_s=0.02, smallest=2, largest=largest, first=first, start_s=13.0
    )


@given(wide=st.lists(st.floats(1.0, 3.0), min_size=4, max_size=4))
def test_the_targets_keep_the_limit_at_the_upper_bounds_of_the_p99s(wide):
    told = variant("small", 0.86, 800.0, 4.0)
    opened = [load for load in told["loads"].values() if load["kind"] == "open"]
    for load, factor in zip(opened, wide, strict=True):
        p99_ms = load["latency_ms"]["p99"]
        p99_ms["high"] = factor * p99_ms["value"]
    found = scaling_targets(told, 20.0, 0.2)
    highs = load_points(opened, "high")
    assert found.rate_rps == pytest.approx(0.8 * capacity(highs, 20.0).rate_rps)
    assert predicted_p99_ms(highs, found.rate_rps) <= 20.0
    if min(wide) > 1.01:
        assert found.rate_rps < 0.8 * capacity(load_points(opened), 20.0).rate_rps


def test_without_a_known_upper_bound_there_is_no_target():
    told = variant("small", 0.86, 800.0, 4.0)
    for load in told["loads"].values():
        load["latency_ms"]["p99"]["high"] = None
    assert scaling_targets(told, 20.0, 0.2) is None


def test_the_documentations_examples_of_the_ratio():
    assert proposal([0.2], 0, 0.1) == 2
    assert proposal([0.05] * 4, 0, 0.1) == 2
    assert proposal([0.109] * 5, 0, 0.1) == 5, "within the tolerance of a tenth"


def test_a_pod_that_is_not_ready_counts_as_idle_when_scaling_up():
    assert proposal([0.2], 1, 0.1) == 2, "two pods at half the ratio are just right"
    assert proposal([0.4], 1, 0.1) == 4


def test_scaling_up_is_bounded_by_the_wider_of_double_and_four_more():
    assert Autoscaler(1, 100, KUBERNETES).replicas(0.0, 1, [50]) == 5
    assert Autoscaler(1, 100, KUBERNETES).replicas(0.0, 20, [50]) == 40


def test_scaling_down_waits_for_the_highest_recommendation_of_five_minutes():
    autoscaler = Autoscaler(1, 100, KUBERNETES)
    assert autoscaler.replicas(0.0, 10, [10]) == 10
    assert autoscaler.replicas(150.0, 10, [3]) == 10
    assert autoscaler.replicas(301.0, 10, [4]) == 4


def test_our_charts_behaviour_goes_down_by_a_tenth_a_minute():
    autoscaler = Autoscaler(1, 100)
    assert [autoscaler.replicas(at, now, [3]) for at, now in [(0.0, 40), (15.0, 36), (60.0, 36)]] \
        == [36, 36, 32]  # fmt: skip


def test_a_percentage_is_of_the_replicas_at_the_periods_start():
    slow = Behaviour(up=(ScalingPolicy("Percent", 100, 60.0),))
    autoscaler = Autoscaler(1, 100, slow)
    assert autoscaler.replicas(0.0, 4, [50]) == 8
    assert autoscaler.replicas(15.0, 8, [50]) == 8
    assert autoscaler.replicas(60.0, 8, [50]) == 16


@given(st.lists(st.integers(1, 200), min_size=1, max_size=60), st.integers(1, 5))
def test_the_replicas_stay_between_the_smallest_and_the_largest(proposals, smallest):
    autoscaler, current = Autoscaler(smallest, 40), smallest
    for tick, wanted in enumerate(proposals):
        before, current = current, autoscaler.replicas(tick * 15.0, current, [wanted])
        assert smallest <= current <= 40
        assert current <= max(2 * before, before + 4)


@settings(deadline=None, max_examples=30)
@given(
    st.lists(st.floats(0.0, 20_000.0), min_size=2, max_size=8),
    st.sampled_from(sorted(SIGNALS)),
)
def test_every_request_is_served_refused_or_still_waits(steps, name):
    rates = [rate for rate in steps for _ in range(40)]
    played = simulate(rates, setting(), SIGNALS[name])
    served = played.total(lambda second: second.served)
    refused = played.total(lambda second: second.refused)
    assert served + refused + played.backlog == pytest.approx(math.fsum(rates), abs=1e-3)
    assert 0.0 <= played.missed_share <= 1.0 + 1e-9


def test_a_steady_load_is_kept_at_the_target():
    rates = [10 * FOUND.rate_rps] * 1800
    played = simulate(rates, setting(first=4), SIGNALS["queue time + in flight"])
    settled = played.seconds[-300:]
    assert {second.ready for second in settled} <= set(range(9, 12))
    assert sum(second.missed for second in settled) / sum(s.offered for s in settled) <= 0.01

    default = replace(setting(first=4), behaviour=KUBERNETES)
    swings = simulate(rates, default, SIGNALS["queue time + in flight"]).seconds[-900:]
    assert max(s.ready for s in swings) > 2 * min(s.ready for s in swings), "why the chart differs"


def test_a_habitual_cpu_target_misses_more_than_ours_in_a_flash_crowd():
    rates = read_trace(TRACES / "flash-crowd.csv", peak_rps=15 * FOUND.rate_rps)
    ours, cpu = (simulate(rates, setting(3), SIGNALS[name]).missed_share
                 for name in ("queue time + in flight", "CPU at 70%"))  # fmt: skip
    assert ours < cpu / 2


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("a,b\n", "must begin with the line"),
        ("seconds,requests_per_s\n0,1\n", "times must ascend"),
        ("seconds,requests_per_s\n0,1\n0,2\n", "times must ascend"),
        ("seconds,requests_per_s\n0,1\n1,-2\n", "at least 0"),
        ("seconds,requests_per_s\n0,1\n1,many\n", "could not convert"),
        ("seconds,requests_per_s\n0,1\n1,nan\n", "at least 0"),
    ],
)
def test_a_broken_trace_is_named(tmp_path, text, says):
    (tmp_path / "trace.csv").write_text(text)
    with pytest.raises(ValueError, match=says):
        read_trace(tmp_path / "trace.csv")


def test_a_trace_in_another_encoding_is_named(tmp_path):
    (tmp_path / "trace.csv").write_bytes("# d\u00e9but\nseconds,requests_per_s\n".encode("latin-1"))
    with pytest.raises(ValueError, match=r"trace\.csv: .* write it as CSV in UTF-8"):
        read_trace(tmp_path / "trace.csv")


def test_a_trace_may_begin_with_a_byte_order_mark(tmp_path):
    (tmp_path / "trace.csv").write_text("\ufeffseconds,requests_per_s\n0,1\n2,1\n")
    assert read_trace(tmp_path / "trace.csv") == [1.0, 1.0]


def test_no_report_is_one_sentence_and_status_2(tmp_path, capsys):
    assert main(["simulate-scaling", str(tmp_path), "--variant", "small"]) == 2
    assert "has no report.json" in capsys.readouterr().err
