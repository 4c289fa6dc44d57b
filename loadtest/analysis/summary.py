"""The figures of each load over its rounds."""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import chain
from typing import Any

import numpy as np
from numpy.typing import NDArray

from loadtest.analysis.phase import (
    PhaseSummary,
    answered_requests,
    latencies_ms,
    phase_figures,
)
from loadtest.analysis.series import Histogram, Timeline, histogram, timeline
from loadtest.analysis.statistics import Estimate, mean_of_rates, quantile_of_rounds
from loadtest.analysis.validity import THRESHOLDS, Thresholds, drifts, findings, refusals
from loadtest.samples import SERVER_STEPS, Samples

QUANTILES = {"p50": 0.5, "p90": 0.9, "p95": 0.95, "p99": 0.99, "p99.9": 0.999}


@dataclass(frozen=True)
class LoadSummary:
    """The figures of one load on one variant, over its rounds; intervals are 95 % over rounds.

    A refused round counts in no figure; `refusals` says why. A latency is infinite where its
    quantile falls on requests that were refused, failed or got no answer.
    """

    kind: str
    users: int
    arrivals: str
    texts_per_request: int
    rate_rps: float
    """The rate that an open load was to offer."""
    rounds: list[PhaseSummary]
    refusals: list[str]
    findings: list[str]
    """What the server did not keep up with, by round."""
    sustained: bool
    """Whether the server kept up with the offered rate over the rounds together."""
    status: dict[str, int]
    offered_rps: Estimate | None
    achieved_rps: Estimate | None
    goodput_rps: Estimate | None
    within_slo: float | None
    """Share of the requests that were answered within the SLO."""
    latency_ms: dict[str, Estimate]
    split_median_ms: dict[str, float | None]
    split_mean_ms: dict[str, float | None]
    """Of the server's steps only: an autoscaler sees means."""
    degraded: dict[str, float]
    """Share of the texts that each variant answered in place of the intended one."""
    histogram: Histogram
    timeline: Timeline

    def as_json(self) -> dict[str, Any]:
        """Return the contents of a load in report.json: an infinite latency is null."""
        fields = asdict(self)
        for found in fields["latency_ms"].values():
            found["value"] = found["value"] if math.isfinite(found["value"]) else None
        return fields


def summarise(samples: Samples, slo_ms: float, thresholds: Thresholds = THRESHOLDS) -> PhaseSummary:
    """Summarise a phase: its figures, why they do not count, and what is to say of them."""
    figures = phase_figures(samples, slo_ms)
    found = refusals(figures, thresholds)
    figures.causes.extend(found)
    figures.refusals.extend(found.values())
    if samples.phase.arrivals != "ramp":  # a ramp exceeds the server's capacity on purpose
        figures.findings.extend(findings(figures, thresholds))
    return figures


def combine(
    rounds: Sequence[Samples], slo_ms: float, thresholds: Thresholds = THRESHOLDS
) -> LoadSummary:
    """Summarise the rounds of one load."""
    summaries = [summarise(samples, slo_ms, thresholds) for samples in rounds]
    kept = [
        (samples, summary)
        for samples, summary in zip(rounds, summaries, strict=True)
        if not summary.refusals
    ]
    drifted = drifts([summary for _, summary in kept], thresholds)
    for _, summary in kept:
        summary.findings.extend(drifted.get(summary.round, []))
    latencies = [latencies_ms(samples) for samples, _ in kept]
    statuses = sum((Counter(summary.status) for _, summary in kept), Counter[str]())
    splits = [summary.split_median_ms for _, summary in kept]
    phase = rounds[0].phase
    return LoadSummary(
        kind=phase.kind,
        users=phase.users,
        arrivals=phase.arrivals,
        texts_per_request=phase.texts_per_request,
        rate_rps=phase.rate_rps,
        rounds=summaries,
        refusals=[
            f"round {summary.round + 1}: {reason}"
            for summary in summaries
            for reason in summary.refusals
        ],
        findings=[
            f"round {summary.round + 1}: {reason}"
            for _, summary in kept
            for reason in summary.findings
        ],
        sustained=_is_sustained([summary for _, summary in kept], thresholds),
        status=dict(sorted(statuses.items())),
        offered_rps=mean_of_rates([summary.offered_rps for _, summary in kept]),
        achieved_rps=mean_of_rates([summary.achieved_rps for _, summary in kept]),
        goodput_rps=mean_of_rates([summary.goodput_rps for _, summary in kept]),
        within_slo=float(np.mean(np.concatenate(latencies) <= slo_ms)) if latencies else None,
        latency_ms={
            name: quantile_of_rounds(latencies, q) for name, q in QUANTILES.items() if latencies
        },
        split_median_ms={
            step: _median([split[step] for split in splits]) for step in (*SERVER_STEPS, "rest")
        },
        split_mean_ms={
            step: _mean(
                [samples.server_ms[step][answered_requests(samples)] for samples, _ in kept]
            )
            for step in SERVER_STEPS
        },
        degraded=_degraded([samples for samples, _ in kept]),
        histogram=histogram([samples for samples, _ in kept]),
        timeline=timeline([samples for samples, _ in kept]),
    )


def _is_sustained(rounds: Sequence[PhaseSummary], thresholds: Thresholds) -> bool:
    achieved_rps = sum(each.achieved_rps for each in rounds)
    return achieved_rps >= thresholds.achieved_share * sum(each.offered_rps for each in rounds)


def _degraded(rounds: Sequence[Samples]) -> dict[str, float]:
    counted = [samples.degraded[answered_requests(samples)] for samples in rounds]
    answered = sum(
        each.size * of.phase.texts_per_request for each, of in zip(counted, rounds, strict=True)
    )
    names = chain.from_iterable(names for each in counted for names in each if names is not None)
    return {name: texts / answered for name, texts in sorted(Counter(names).items())}


def _median(figures: Sequence[float | None]) -> float | None:
    known = [figure for figure in figures if figure is not None]
    return float(np.median(known)) if known else None


def _mean(rounds: Sequence[NDArray[np.float64]]) -> float | None:
    known = [values[~np.isnan(values)] for values in rounds]
    return float(np.mean(np.concatenate(known))) if sum(each.size for each in known) else None
