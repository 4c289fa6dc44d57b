"""What the figures of a phase say of its raw times. It does not know HTTP or Locust."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from loadtest.samples import (
    Client,
    Phase,
    Row,
    read_samples,
    server_timing_ms,
    write_samples,
)
from loadtest.summary import summarise

IDLE = Client(loop_lag_p99_s=0.0, cpu_share=0.1)
STEPS = {"tokenize": 0.5, "queue": 1.0, "engine": 6.0}


def phase(kind="open", measured_s=10.0):
    return Phase("tone", "tiny", kind, 1, 50.0, warmup_s=2.0, measured_s=measured_s, seed=0)


def summary_of(tmp_path, rows, client=IDLE):
    write_samples(tmp_path / "rows.parquet", rows, phase(), client)
    return summarise(read_samples(tmp_path / "rows.parquet"))


def steady(latency_s=0.01, lateness_s=0.0, status=200):
    return [
        Row(at, at + lateness_s, at + latency_s, status, 100, STEPS)
        for at in np.arange(0.0, 12.0, 0.02).tolist()
    ]


def test_raw_times_survive_the_file_unrounded(tmp_path):
    row = Row(2.123456789012, 2.2, 2.3456789012345, 200, 77, {"engine": 1.23456789})
    write_samples(tmp_path / "deep" / "rows.parquet", [row], phase(), IDLE)
    found = read_samples(tmp_path / "deep" / "rows.parquet")
    assert (found.phase, found.client) == (phase(), IDLE)
    assert found.intended_s.tolist() == [row.intended_s]
    assert found.end_s.tolist() == [row.end_s]
    assert found.server_ms["engine"].tolist() == [1.23456789]
    assert np.isnan(found.server_ms["queue"]).all()


def test_a_steady_phase_has_its_rate_latency_and_split_and_no_doubt(tmp_path):
    found = summary_of(tmp_path, steady())
    assert found.requests == 500
    assert found.status == {"200": 500}
    assert found.offered_rps == pytest.approx(50.0)
    assert found.achieved_rps == pytest.approx(50.0, rel=0.01)
    assert found.latency_ms["p99"].value == pytest.approx(10.0)
    assert found.split_median_ms == pytest.approx(STEPS | {"rest": 2.5})
    assert found.doubts == []


def test_the_warm_up_is_left_out(tmp_path):
    slow_start = [Row(at, at, at + 1.0, 500, 0, {}) for at in (0.1, 0.5, 1.99)]
    assert summary_of(tmp_path, slow_start + steady()).status == {"200": 500}


def test_latency_counts_from_the_intended_start_and_a_late_client_is_doubted(tmp_path):
    found = summary_of(tmp_path, steady(latency_s=0.05, lateness_s=0.04))
    assert found.latency_ms["p50"].value == pytest.approx(50.0)
    assert found.lateness_p99_ms == pytest.approx(40.0)
    assert any("sent late" in doubt for doubt in found.doubts)


def test_a_backlog_answered_after_the_end_is_counted_in_full_and_doubted(tmp_path):
    rows = [Row(at, at, 2.0 * at, 200, 9, {}) for at in np.arange(0.0, 12.0, 0.02).tolist()]
    found = summary_of(tmp_path, rows)
    assert found.latency_ms["p99"].value > 11_000.0
    assert found.achieved_rps < 0.6 * found.offered_rps
    assert any("Achieved" in doubt for doubt in found.doubts)


def test_refused_and_unanswered_requests_are_counted_and_doubted_apart(tmp_path):
    rows = steady() + [Row(5.0, 5.0, 5.001, 429, 9, {})] * 3 + [Row(5.0, 5.0, 35.0, 0, 0, {})]
    found = summary_of(tmp_path, rows)
    assert found.status == {"0": 1, "200": 500, "429": 3}
    assert found.latency_ms["p99"].value == pytest.approx(10.0)
    assert any(doubt.startswith("1 requests got no answer") for doubt in found.doubts)
    assert any(doubt.startswith("3 of 504 requests were refused") for doubt in found.doubts)


@pytest.mark.parametrize("rows", [[], steady(status=503)])
def test_a_phase_without_a_good_answer_has_no_percentile_and_says_so(tmp_path, rows):
    found = summary_of(tmp_path, rows)
    assert found.latency_ms == {}
    assert found.achieved_rps == 0.0
    assert len(found.doubts) == 1


@pytest.mark.parametrize(
    ("client", "word"), [(Client(0.2, 0.1), "event loop"), (Client(0.0, 0.97), "core")]
)
def test_a_busy_client_is_doubted(tmp_path, client, word):
    assert any(word in doubt for doubt in summary_of(tmp_path, steady(), client).doubts)


def test_too_few_answers_for_a_bound_are_said(tmp_path):
    found = summary_of(tmp_path, steady()[:300])
    assert any("368 are the least" in doubt for doubt in found.doubts)


@pytest.mark.parametrize(
    ("header", "durations"),
    [
        (
            "tokenize;dur=0.1, queue;dur=0.4, engine;dur=3.1",
            {"tokenize": 0.1, "queue": 0.4, "engine": 3.1},
        ),
        ('db;desc="a, b";dur=53, app;dur=47.2', {"app": 47.2}),
        ("cache, engine;dur=2", {"engine": 2.0}),
        ("", {}),
        ("engine", {}),
    ],
)
def test_server_timings_are_read(header, durations):
    assert server_timing_ms(header).items() >= durations.items()


def test_a_foreign_parquet_file_is_refused(tmp_path):
    pq.write_table(pa.table({"a": [1]}), tmp_path / "foreign.parquet")
    with pytest.raises(ValueError, match="raw times"):
        read_samples(tmp_path / "foreign.parquet")
