"""The figures of a load from its raw times, and when they are refused."""

import dataclasses

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from loadtest.analysis.summary import combine, summarise
from loadtest.samples import (
    ClientLoad,
    Phase,
    RequestSample,
    read_samples,
    server_timing_ms,
    write_samples,
)

IDLE = ClientLoad(loop_lag_p99_s=0.0, cpu_share=0.1)
STEPS = {"tokenize": 0.5, "queue": 1.0, "engine": 6.0}
PHASE = Phase(
    model="tone", variant="tiny", load="open", round=0, kind="open", users=1, arrivals="constant",
    rate_rps=50.0, trace=None, texts_per_request=1, deadline_ms=None, warmup_s=2.0,
    measured_s=10.0, seed=0,
)  # fmt: skip


def samples_of(tmp_path, rows, client=IDLE, **changes):
    write_samples(tmp_path / "rows.parquet", rows, dataclasses.replace(PHASE, **changes), client)
    return read_samples([tmp_path / "rows.parquet"])


def summary_of(tmp_path, rows, client=IDLE, slo_ms=50.0):
    return summarise(samples_of(tmp_path, rows, client), slo_ms)


def steady(latency_s=0.01, lateness_s=0.0, status=200):
    return [
        RequestSample(at, at + lateness_s, at + latency_s, status, 100, STEPS)
        for at in np.arange(0.0, 12.0, 0.02).tolist()
    ]


def test_raw_times_survive_the_file_unrounded(tmp_path):
    row = RequestSample(2.123456789012, 2.2, 2.3456789012345, 200, 77, {"engine": 1.23456789})
    write_samples(tmp_path / "deep" / "rows.parquet", [row], PHASE, IDLE)
    found = read_samples([tmp_path / "deep" / "rows.parquet"])
    assert (found.phase, found.client) == (PHASE, IDLE)
    assert found.intended_s.tolist() == [row.intended_s]
    assert found.end_s.tolist() == [row.end_s]
    assert found.server_ms["engine"].tolist() == [1.23456789]
    assert np.isnan(found.server_ms["queue"]).all()


def test_the_files_of_several_processes_are_one_phase_with_the_busiest_client(tmp_path):
    for number, client in enumerate([IDLE, ClientLoad(0.3, 0.5)]):
        write_samples(tmp_path / f"{number}.parquet", steady(), PHASE, client)
    found = read_samples([tmp_path / "0.parquet", tmp_path / "1.parquet"])
    assert found.status.size == 2 * len(steady())
    assert (found.client, found.processes) == (ClientLoad(0.3, 0.5), 2)


def test_a_steady_phase_has_its_rate_latency_and_split_and_is_not_refused(tmp_path):
    found = summary_of(tmp_path, steady())
    assert found.requests == 500
    assert found.status == {"200": 500}
    assert found.offered_rps == pytest.approx(50.0)
    assert found.achieved_rps == found.goodput_rps == pytest.approx(50.0, rel=0.01)
    assert found.p99_ms == pytest.approx(10.0)
    assert found.split_median_ms == pytest.approx(STEPS | {"rest": 2.5})
    assert found.refusals == []


def test_the_warm_up_is_left_out(tmp_path):
    slow_start = [RequestSample(at, at, at + 1.0, 500, 0, {}) for at in (0.1, 0.5, 1.99)]
    assert summary_of(tmp_path, slow_start + steady()).status == {"200": 500}


def test_goodput_counts_what_came_within_the_slo(tmp_path):
    slow = [
        RequestSample(row.intended_s, row.start_s, row.end_s + 0.1, 200, 9, {})
        for row in steady()[::2]
    ]
    found = summary_of(tmp_path, slow + steady()[1::2])
    assert found.achieved_rps == pytest.approx(50.0, rel=0.02)
    assert found.goodput_rps == pytest.approx(25.0, rel=0.02)


def test_latency_counts_from_the_intended_start_and_a_late_client_is_refused(tmp_path):
    found = summary_of(tmp_path, steady(latency_s=0.05, lateness_s=0.04))
    assert found.p50_ms == pytest.approx(50.0)
    assert found.lateness_p99_ms == pytest.approx(40.0)
    assert any("sent requests late" in reason for reason in found.refusals)


def test_a_backlog_answered_after_the_end_is_counted_in_full_and_named(tmp_path):
    rows = [
        RequestSample(at, at, 2.0 * at, 200, 9, {}) for at in np.arange(0.0, 12.0, 0.02).tolist()
    ]
    found = summary_of(tmp_path, rows)
    assert found.p99_ms > 11_000.0
    assert found.achieved_rps < 0.6 * found.offered_rps
    assert found.refusals == []
    assert any("fell behind" in finding for finding in found.findings)


def test_refusals_and_requests_without_an_answer_are_slower_than_any_limit(tmp_path):
    told = steady() + [RequestSample(5.0, 5.0, 5.001, 429, 9, {})] * 300
    found = summary_of(tmp_path, [*told, RequestSample(5.0, 5.0, 35.0, 0, 0, {})])
    assert found.status == {"0": 1, "200": 500, "429": 300}
    assert found.p50_ms == pytest.approx(10.0)
    assert found.p99_ms is None
    assert found.answered_p99_ms == pytest.approx(10.0)
    assert found.refusals == []
    assert found.findings[0].startswith("1 requests got no answer")
    assert found.findings[1].startswith("The server refused or failed 37.5% of the requests")


def test_a_phase_without_a_good_answer_counts_and_one_without_a_request_does_not(tmp_path):
    found = summary_of(tmp_path, steady(status=503))
    assert (found.p50_ms, found.p99_ms, found.achieved_rps) == (None, None, 0.0)
    assert found.refusals == []
    assert "No request was due" in summary_of(tmp_path, []).refusals[0]


@pytest.mark.parametrize(
    ("client", "word"), [(ClientLoad(0.2, 0.1), "event loop"), (ClientLoad(0.0, 0.97), "core")]
)
def test_a_busy_client_is_refused(tmp_path, client, word):
    assert any(word in reason for reason in summary_of(tmp_path, steady(), client).refusals)


def test_rounds_are_combined_and_a_refused_one_counts_nowhere(tmp_path):
    rounds = [samples_of(tmp_path, steady(latency_s), round=n)
              for n, latency_s in enumerate((0.01, 0.02, 0.03))]  # fmt: skip
    rounds.append(samples_of(tmp_path, steady(latency_s=0.04), ClientLoad(0.0, 0.99), round=3))
    found = combine(rounds, 50.0)
    assert found.latency_ms["p50"].value == pytest.approx(20.0)
    assert found.latency_ms["p99.9"].value == pytest.approx(30.0)
    assert found.latency_ms["p50"].low < 15.0
    assert found.latency_ms["p50"].high > 30.0
    assert found.achieved_rps.value == pytest.approx(50.0, rel=0.01)
    assert found.status == {"200": 1500}
    assert [reason.partition(":")[0] for reason in found.refusals] == ["round 4"]


def test_degraded_texts_are_counted_over_the_rounds_without_the_warm_up(tmp_path):
    half = [
        dataclasses.replace(row, degraded=["tiny", "wide"] if row.intended_s < 7.0 else [])
        for row in steady()
    ]
    rounds = [samples_of(tmp_path, rows, round=n, texts_per_request=4)
              for n, rows in enumerate([half, steady()])]  # fmt: skip
    assert combine(rounds, 50.0).degraded == {"tiny": 0.0625, "wide": 0.0625}


def test_raw_times_from_before_there_were_cascades_are_read(tmp_path):
    write_samples(tmp_path / "new.parquet", steady(), PHASE, IDLE)
    table = pq.read_table(tmp_path / "new.parquet")
    pq.write_table(table.drop_columns(["degraded"]), tmp_path / "old.parquet")
    found = read_samples([tmp_path / "old.parquet"])
    assert combine([found], 50.0).degraded == {}


def test_a_load_whose_rounds_were_all_refused_has_no_figure(tmp_path):
    found = combine([samples_of(tmp_path, steady(), ClientLoad(0.0, 0.99))], 50.0)
    assert found.latency_ms == {}
    assert found.achieved_rps is None


def test_a_round_far_from_the_others_counts_and_is_named(tmp_path):
    rounds = [samples_of(tmp_path, steady(), round=n) for n in range(4)]
    rounds.append(samples_of(tmp_path, steady()[::3], round=4))
    found = combine(rounds, 50.0)
    (finding,) = found.findings
    assert finding.startswith(
        "round 5: It answered 16.6 requests/s, while the median round had 50.0"
    )
    assert found.refusals == []
    assert found.achieved_rps.value == pytest.approx((4 * 49.95 + 16.6) / 5, rel=0.01)


def test_phases_that_all_slow_down_are_named_and_a_single_one_is_not(tmp_path):
    slowing = [
        RequestSample(
            row.intended_s, row.start_s, row.start_s + 0.01 + 0.002 * row.start_s, 200, 9, STEPS
        )
        for row in steady()
    ]
    alike = combine([samples_of(tmp_path, slowing, round=n) for n in range(3)], 50.0)
    assert len(alike.findings) == 3
    assert all("No steady state" in finding for finding in alike.findings)
    assert alike.refusals == []
    mixed = [samples_of(tmp_path, rows, round=n) for n, rows in enumerate([slowing, steady(),
             steady()])]  # fmt: skip
    assert combine(mixed, 50.0).findings == []


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
        read_samples([tmp_path / "foreign.parquet"])
