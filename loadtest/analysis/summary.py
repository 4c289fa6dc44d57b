"""The figures of phases and of the rounds of a load, and whether they may be believed. Pure.

It does not know files, HTTP or how the figures are shown.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import chain

import numpy as np
from numpy.typing import NDArray

from loadtest.analysis.statistics import Estimate, mean, mean_of_rates, quantile_of_rounds
from loadtest.samples import NO_ANSWER, SERVER_STEPS, Samples

QUANTILES = {"p50": 0.5, "p90": 0.9, "p95": 0.95, "p99": 0.99, "p99.9": 0.999}

# A phase is refused when the client adds this share of the p99, or this many milliseconds where
# the p99 is too short for a busy client to hold.
LATENESS_SHARE, LATENESS_FLOOR_MS = 0.2, 5.0
CLIENT_CPU_SHARE = 0.9
ACHIEVED_SHARE = 0.95
# A round's throughput against the median of the rounds; and the median latency of a phase's
# second half against its first, in all rounds alike (one round alone may differ by chance).
ROUNDS_RATIO, HALVES_RATIO = 1.5, 1.25


@dataclass(frozen=True)
class Summary:
    """One phase in figures. Latencies count the answered (200) requests of the measured time."""

    round: int
    requests: int
    status: dict[str, int]
    offered_rps: float
    achieved_rps: float
    goodput_rps: float
    p50_ms: float | None
    p99_ms: float | None
    split_median_ms: dict[str, float | None]
    halves_ratio: float | None
    """Median latency of the second half of the answers to that of the first."""
    lateness_p99_ms: float
    loop_lag_p99_ms: float
    client_cpu_share: float
    refusals: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class LoadSummary:
    """All rounds of one load on one variant; intervals are of 95 % and count rounds, not requests.

    A refused round is in no figure but `refusals`.
    """

    kind: str
    users: int
    arrivals: str
    texts_per_request: int
    rounds: list[Summary]
    refusals: list[str]
    status: dict[str, int]
    offered_rps: Estimate | None
    achieved_rps: Estimate | None
    goodput_rps: Estimate | None
    latency_ms: dict[str, Estimate]
    split_median_ms: dict[str, float | None]
    split_mean_ms: dict[str, float | None]
    """Of the server's steps alone: means are what an autoscaler sees."""
    degraded: dict[str, float]
    """Share of the texts that each variant answered where a cascade would have asked on."""


def summarise(samples: Samples, slo_ms: float) -> Summary:
    """The measured part of a phase (its warm-up left out) in figures.

    A request belongs to the measured time by its intended start, whenever its answer came, so
    that a backlog is counted in full. The achieved rate counts the answers that came within it,
    goodput those of them that took at most `slo_ms`.
    """
    phase = samples.phase
    counted = counted_requests(samples)
    measured = samples.intended_s >= phase.warmup_s
    answered = samples.status == 200
    ended_inside = (samples.end_s >= phase.warmup_s) & (samples.end_s < phase.total_s)
    within = samples.latency_ms <= slo_ms
    latency_ms = samples.latency_ms[counted]
    lateness_ms = (samples.start_s - samples.intended_s)[measured] * 1e3
    requests = int(measured.sum())
    statuses = Counter(samples.status[measured].tolist())
    figures = Summary(
        round=phase.round,
        requests=requests,
        status={str(code): statuses[code] for code in sorted(statuses)},
        offered_rps=requests / phase.measured_s,
        achieved_rps=int((answered & ended_inside).sum()) / phase.measured_s,
        goodput_rps=int((answered & ended_inside & within).sum()) / phase.measured_s,
        p50_ms=_quantile(latency_ms, 0.5),
        p99_ms=_quantile(latency_ms, 0.99),
        split_median_ms=_split_median_ms(samples, counted),
        halves_ratio=_halves_ratio(latency_ms[np.argsort(samples.end_s[counted])]),
        lateness_p99_ms=_quantile(lateness_ms, 0.99) or 0.0,
        loop_lag_p99_ms=samples.client.loop_lag_p99_s * 1e3,
        client_cpu_share=samples.client.cpu_share,
    )
    figures.refusals.extend(_client_refusals(figures))
    if phase.arrivals != "ramp":  # a ramp means to outrun the server
        figures.refusals.extend(_server_refusals(figures, phase.measured_s))
    return figures


def counted_requests(samples: Samples) -> NDArray[np.bool_]:
    """Which requests' latencies count: due in the measured time, and answered."""
    counted: NDArray[np.bool_] = np.logical_and(
        samples.intended_s >= samples.phase.warmup_s, samples.status == 200
    )
    return counted


def combine(rounds: Sequence[Samples], slo_ms: float) -> LoadSummary:
    """One load's rounds in figures."""
    summaries = [summarise(samples, slo_ms) for samples in rounds]
    _refuse_drifted_rounds(summaries)
    kept = [
        (samples, summary)
        for samples, summary in zip(rounds, summaries, strict=True)
        if not summary.refusals
    ]
    latencies_ms = [samples.latency_ms[counted_requests(samples)] for samples, _ in kept]
    latencies_ms = [each for each in latencies_ms if each.size]
    statuses = sum((Counter(summary.status) for _, summary in kept), Counter[str]())
    splits = [summary.split_median_ms for _, summary in kept]
    phase = rounds[0].phase
    return LoadSummary(
        kind=phase.kind,
        users=phase.users,
        arrivals=phase.arrivals,
        texts_per_request=phase.texts_per_request,
        rounds=summaries,
        refusals=[
            f"round {summary.round + 1}: {reason}"
            for summary in summaries
            for reason in summary.refusals
        ],
        status=dict(sorted(statuses.items())),
        offered_rps=mean_of_rates([summary.offered_rps for _, summary in kept]),
        achieved_rps=mean_of_rates([summary.achieved_rps for _, summary in kept]),
        goodput_rps=mean_of_rates([summary.goodput_rps for _, summary in kept]),
        latency_ms={
            name: quantile_of_rounds(latencies_ms, q)
            for name, q in QUANTILES.items()
            if latencies_ms
        },
        split_median_ms={
            step: _median([split[step] for split in splits]) for step in (*SERVER_STEPS, "rest")
        },
        split_mean_ms={
            step: _mean([samples.server_ms[step][counted_requests(samples)] for samples, _ in kept])
            for step in SERVER_STEPS
        },
        degraded=_degraded([samples for samples, _ in kept]),
    )


def _degraded(rounds: Sequence[Samples]) -> dict[str, float]:
    told = [samples.degraded[counted_requests(samples)] for samples in rounds]
    answered = sum(
        each.size * of.phase.texts_per_request for each, of in zip(told, rounds, strict=True)
    )
    names = chain.from_iterable(names for each in told for names in each if names is not None)
    return {name: texts / answered for name, texts in sorted(Counter(names).items())}


def _quantile(values: NDArray[np.float64], q: float) -> float | None:
    return float(np.quantile(values, q, method="inverted_cdf")) if values.size else None


def _median(figures: Sequence[float | None]) -> float | None:
    told = [figure for figure in figures if figure is not None]
    return float(np.median(told)) if told else None


def _mean(rounds: Sequence[NDArray[np.float64]]) -> float | None:
    told = [values[~np.isnan(values)] for values in rounds]
    return float(np.mean(np.concatenate(told))) if sum(each.size for each in told) else None


def _split_median_ms(samples: Samples, counted: NDArray[np.bool_]) -> dict[str, float | None]:
    """Medians of the server's steps and of the rest: HTTP, the network and the client."""
    steps = {name: samples.server_ms[name][counted] for name in SERVER_STEPS}
    steps["rest"] = samples.latency_ms[counted] - sum(steps.values())
    told = {name: values[~np.isnan(values)] for name, values in steps.items()}
    return {name: float(np.median(ms)) if ms.size else None for name, ms in told.items()}


def _client_refusals(figures: Summary) -> list[str]:
    """Why the client and not the server was measured, a sentence each, with the remedy."""
    if figures.p99_ms is None:
        return ["No request was answered with 200: see the log files beside the report."]
    refusals = []
    limit_ms = max(LATENESS_FLOOR_MS, LATENESS_SHARE * figures.p99_ms)
    if figures.lateness_p99_ms > limit_ms:
        refusals.append(
            f"The client sent late: p99 lateness {figures.lateness_p99_ms:.1f} ms, limit "
            f"{limit_ms:.1f} ms. Lower the rate or give the client its own cores."
        )
    if figures.loop_lag_p99_ms > limit_ms:
        refusals.append(
            f"The client's event loop lagged: p99 {figures.loop_lag_p99_ms:.1f} ms, limit "
            f"{limit_ms:.1f} ms. Give the client its own cores."
        )
    if figures.client_cpu_share > CLIENT_CPU_SHARE:
        refusals.append(
            f"The client used {figures.client_cpu_share:.0%} of its one core, so it may be the "
            "bottleneck. Raise processes in the scenario, or lower its users and rates."
        )
    return refusals


def _server_refusals(figures: Summary, measured_s: float) -> list[str]:
    """Why a phase is not one steady state: requests without an answer, or a growing queue."""
    refusals = []
    if unanswered := figures.status.get(str(NO_ANSWER), 0):
        refusals.append(
            f"{unanswered} requests got no answer at all: see the server's log beside the report."
        )
    refused = figures.requests - figures.status.get("200", 0) - unanswered
    if figures.achieved_rps + refused / measured_s < ACHIEVED_SHARE * figures.offered_rps:
        refusals.append(
            f"Achieved {figures.achieved_rps:.1f} of {figures.offered_rps:.1f} requests/s offered, "
            "and the server did not say so: its queue grew for as long as the phase lasted. "
            "Lower the rate."
        )
    return refusals


def _halves_ratio(latency_ms: NDArray[np.float64]) -> float | None:
    if latency_ms.size < 2:
        return None
    first, second = np.array_split(latency_ms, 2)
    return float(np.median(second) / np.median(first))


def _refuse_drifted_rounds(summaries: Sequence[Summary]) -> None:
    """Adds a refusal to rounds far from the others, and to all that drift in the same way."""
    kept = [summary for summary in summaries if not summary.refusals]
    if len(kept) < 3:
        return
    middle = float(np.median([summary.achieved_rps for summary in kept]))
    ratios = [np.log(summary.halves_ratio) for summary in kept if summary.halves_ratio]
    trend = mean(ratios)
    for summary in kept:
        if not middle / ROUNDS_RATIO < summary.achieved_rps < middle * ROUNDS_RATIO:
            summary.refusals.append(
                f"The run drifted: {summary.achieved_rps:.1f} requests/s where the rounds' median "
                f"is {middle:.1f}. Still the machine and run again."
            )
        if trend and max(trend.low or 0.0, -(trend.high or 0.0)) > np.log(HALVES_RATIO):
            summary.refusals.append(
                f"The phases drifted: the median latency of their second halves is "
                f"{np.exp(trend.value):.2f} times that of the first. Lengthen the warm-up or lower "
                "the rate."
            )
