"""The figures of each phase and load, and the reasons to refuse them."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import chain

import numpy as np
from numpy.typing import NDArray

from loadtest.analysis.statistics import Estimate, mean, mean_of_rates, quantile_of_rounds
from loadtest.samples import NO_ANSWER, SERVER_STEPS, Samples

QUANTILES = {"p50": 0.5, "p90": 0.9, "p95": 0.95, "p99": 0.99, "p99.9": 0.999}


@dataclass(frozen=True)
class Thresholds:
    """When a phase's figures are refused."""

    lateness_share: float = 0.2
    """Largest share of the p99 that the client may add to it."""
    lateness_ms: float = 5.0
    """Lateness that is always allowed: a busy client cannot hold a share of a very short p99."""
    client_cpu_share: float = 0.9
    """Largest share of its core that the client may use."""
    achieved_share: float = 0.95
    """Smallest share of the offered rate that the server must answer or refuse in time."""
    rounds_ratio: float = 1.5
    """Largest ratio of a round's throughput to the median round's, either way."""
    halves_ratio: float = 1.25
    """Largest ratio of the median latencies of a phase's halves, over all rounds together."""


THRESHOLDS = Thresholds()


@dataclass(frozen=True)
class PhaseSummary:
    """The figures of one phase; latencies are those of measured requests answered with 200."""

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
    """Median latency of the second half of the answers / that of the first."""
    lateness_p99_ms: float
    loop_lag_p99_ms: float
    client_cpu_share: float
    refusals: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class LoadSummary:
    """The figures of one load on one variant, over its rounds; intervals are 95 % over rounds.

    A refused round counts in no figure; `refusals` says why.
    """

    kind: str
    users: int
    arrivals: str
    texts_per_request: int
    rounds: list[PhaseSummary]
    refusals: list[str]
    status: dict[str, int]
    offered_rps: Estimate | None
    achieved_rps: Estimate | None
    goodput_rps: Estimate | None
    latency_ms: dict[str, Estimate]
    split_median_ms: dict[str, float | None]
    split_mean_ms: dict[str, float | None]
    """Of the server's steps only: an autoscaler sees means."""
    degraded: dict[str, float]
    """Share of the texts that each variant answered in place of the intended one."""


def summarise(samples: Samples, slo_ms: float, thresholds: Thresholds = THRESHOLDS) -> PhaseSummary:
    """Summarise the measured part of a phase, without its warm-up.

    A request counts if its intended start is in the measured time, even if its answer came later,
    so that a backlog counts in full. The achieved rate counts the answers that came within the
    measured time; goodput counts those of them that took at most `slo_ms`.
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
    figures = PhaseSummary(
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
    figures.refusals.extend(_client_refusals(figures, thresholds))
    if phase.arrivals != "ramp":  # a ramp exceeds the server's capacity on purpose
        figures.refusals.extend(_server_refusals(figures, phase.measured_s, thresholds))
    return figures


def counted_requests(samples: Samples) -> NDArray[np.bool_]:
    """Mark the requests whose latencies count: due in the measured time, answered with 200."""
    counted: NDArray[np.bool_] = np.logical_and(
        samples.intended_s >= samples.phase.warmup_s, samples.status == 200
    )
    return counted


def combine(
    rounds: Sequence[Samples], slo_ms: float, thresholds: Thresholds = THRESHOLDS
) -> LoadSummary:
    """Summarise the rounds of one load."""
    summaries = [summarise(samples, slo_ms, thresholds) for samples in rounds]
    _refuse_drifted_rounds(summaries, thresholds)
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
    counted = [samples.degraded[counted_requests(samples)] for samples in rounds]
    answered = sum(
        each.size * of.phase.texts_per_request for each, of in zip(counted, rounds, strict=True)
    )
    names = chain.from_iterable(names for each in counted for names in each if names is not None)
    return {name: texts / answered for name, texts in sorted(Counter(names).items())}


def _quantile(values: NDArray[np.float64], q: float) -> float | None:
    return float(np.quantile(values, q, method="inverted_cdf")) if values.size else None


def _median(figures: Sequence[float | None]) -> float | None:
    known = [figure for figure in figures if figure is not None]
    return float(np.median(known)) if known else None


def _mean(rounds: Sequence[NDArray[np.float64]]) -> float | None:
    known = [values[~np.isnan(values)] for values in rounds]
    return float(np.mean(np.concatenate(known))) if sum(each.size for each in known) else None


def _split_median_ms(samples: Samples, counted: NDArray[np.bool_]) -> dict[str, float | None]:
    """Return the medians of the server's steps and of the rest: HTTP, network and client."""
    steps = {name: samples.server_ms[name][counted] for name in SERVER_STEPS}
    steps["rest"] = samples.latency_ms[counted] - sum(steps.values())
    known = {name: values[~np.isnan(values)] for name, values in steps.items()}
    return {name: float(np.median(ms)) if ms.size else None for name, ms in known.items()}


def _client_refusals(figures: PhaseSummary, thresholds: Thresholds) -> list[str]:
    """Say why the figures show the client's limits and not the server's, with the remedy."""
    if figures.p99_ms is None:
        return ["No request was answered with 200: see the report's logs folder."]
    refusals = []
    limit_ms = max(thresholds.lateness_ms, thresholds.lateness_share * figures.p99_ms)
    if figures.lateness_p99_ms > limit_ms:
        refusals.append(
            f"The client sent requests late: p99 lateness {figures.lateness_p99_ms:.1f} ms, limit "
            f"{limit_ms:.1f} ms. Lower the rate or give the client its own cores."
        )
    if figures.loop_lag_p99_ms > limit_ms:
        refusals.append(
            f"The client's event loop lagged: p99 {figures.loop_lag_p99_ms:.1f} ms, limit "
            f"{limit_ms:.1f} ms. Give the client its own cores."
        )
    if figures.client_cpu_share > thresholds.client_cpu_share:
        refusals.append(
            f"The client used {figures.client_cpu_share:.0%} of its core, limit "
            f"{thresholds.client_cpu_share:.0%}, so it may be the bottleneck. Raise `processes` in "
            "the scenario, or lower its users and rates."
        )
    return refusals


def _server_refusals(figures: PhaseSummary, measured_s: float, thresholds: Thresholds) -> list[str]:
    """Say why a phase has no steady state: requests without an answer, or a growing queue."""
    refusals = []
    if unanswered := figures.status.get(str(NO_ANSWER), 0):
        refusals.append(
            f"{unanswered} requests got no answer at all: see the server's log in the report's "
            "logs folder."
        )
    refused = figures.requests - figures.status.get("200", 0) - unanswered
    handled_rps = figures.achieved_rps + refused / measured_s
    if handled_rps < thresholds.achieved_share * figures.offered_rps:
        refusals.append(
            f"The server answered {figures.achieved_rps:.1f} of {figures.offered_rps:.1f} offered "
            "requests/s and did not refuse the rest, so its queue grew throughout the phase. "
            "Lower the rate."
        )
    return refusals


def _halves_ratio(latency_ms: NDArray[np.float64]) -> float | None:
    if latency_ms.size < 2:
        return None
    first, second = np.array_split(latency_ms, 2)
    return float(np.median(second) / np.median(first))


def _refuse_drifted_rounds(summaries: Sequence[PhaseSummary], thresholds: Thresholds) -> None:
    """Refuse rounds far from the others, and all rounds if they drift in the same direction.

    One round alone may drift by chance.
    """
    kept = [summary for summary in summaries if not summary.refusals]
    if len(kept) < 3:
        return
    middle = float(np.median([summary.achieved_rps for summary in kept]))
    ratios = [np.log(summary.halves_ratio) for summary in kept if summary.halves_ratio]
    trend = mean(ratios)
    for summary in kept:
        ratio = thresholds.rounds_ratio
        if not middle / ratio < summary.achieved_rps < middle * ratio:
            summary.refusals.append(
                f"The run drifted: {summary.achieved_rps:.1f} requests/s, while the median round "
                f"had {middle:.1f}. Stop other work on the machine and run again."
            )
        drift = max(trend.low or 0.0, -(trend.high or 0.0)) if trend else 0.0
        if trend and drift > np.log(thresholds.halves_ratio):
            summary.refusals.append(
                f"The phases drifted: the median latency in their second halves is "
                f"{np.exp(trend.value):.2f} times that in their first halves. Lengthen the warm-up "
                "or lower the rate."
            )
