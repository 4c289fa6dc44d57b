"""The figures of one phase, and whether they may be believed. Pure.

It does not know files, HTTP or how the figures are shown.
"""

from collections import Counter
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from loadtest.frontier import Estimate, percentile
from loadtest.samples import NO_ANSWER, SERVER_STEPS, Samples

QUANTILES = {"p50": 0.5, "p90": 0.9, "p99": 0.99}

# A run is doubtful when the client adds this share of the median latency, or this many
# milliseconds where the latency is shorter than a timer can resolve.
LATENESS_SHARE, LATENESS_FLOOR_MS = 0.1, 5.0
CLIENT_CPU_SHARE = 0.9
ACHIEVED_SHARE = 0.95


@dataclass(frozen=True)
class Summary:
    """One phase in figures. Latencies count the answered (200) requests of the measured time."""

    kind: str
    users: int
    rate_rps: float
    warmup_s: float
    measured_s: float
    requests: int
    status: dict[str, int]
    offered_rps: float
    achieved_rps: float
    latency_ms: dict[str, Estimate]
    split_median_ms: dict[str, float | None]
    lateness_p99_ms: float
    loop_lag_p99_ms: float
    client_cpu_share: float
    doubts: list[str]


def summarise(samples: Samples) -> Summary:
    """The measured part of a phase (its warm-up left out) in figures.

    A request belongs to the measured time by its intended start, whenever its answer came, so
    that a backlog is counted in full. The achieved rate counts the answers that came within it.
    """
    phase = samples.phase
    measured = samples.intended_s >= phase.warmup_s
    answered = samples.status == 200
    ended_inside = (samples.end_s >= phase.warmup_s) & (samples.end_s < phase.total_s)
    counted = measured & answered
    latency_ms = samples.latency_ms[counted]
    lateness_ms = (samples.start_s - samples.intended_s)[measured] * 1e3
    requests = int(measured.sum())
    statuses = Counter(samples.status[measured].tolist())
    figures = Summary(
        kind=phase.kind,
        users=phase.users,
        rate_rps=phase.rate_rps,
        warmup_s=phase.warmup_s,
        measured_s=phase.measured_s,
        requests=requests,
        status={str(code): statuses[code] for code in sorted(statuses)},
        offered_rps=requests / phase.measured_s,
        achieved_rps=int((answered & ended_inside).sum()) / phase.measured_s,
        latency_ms={
            name: percentile(latency_ms, q) for name, q in QUANTILES.items() if latency_ms.size
        },
        split_median_ms=_split_median_ms(samples, counted),
        lateness_p99_ms=percentile(lateness_ms, 0.99).value if requests else 0.0,
        loop_lag_p99_ms=samples.client.loop_lag_p99_s * 1e3,
        client_cpu_share=samples.client.cpu_share,
        doubts=[],
    )
    figures.doubts.extend(_doubts(figures))
    return figures


def _split_median_ms(samples: Samples, counted: NDArray[np.bool_]) -> dict[str, float | None]:
    """Medians of the server's steps and of the rest: HTTP, the network and the client."""
    steps = {name: samples.server_ms[name][counted] for name in SERVER_STEPS}
    steps["rest"] = samples.latency_ms[counted] - sum(steps.values())
    told = {name: values[~np.isnan(values)] for name, values in steps.items()}
    return {name: float(np.median(ms)) if ms.size else None for name, ms in told.items()}


def _doubts(figures: Summary) -> list[str]:
    """Why the figures should not be believed, a sentence each, with the remedy."""
    doubts = []
    if "p50" not in figures.latency_ms:
        return ["No request was answered with 200: see the log files beside the report."]
    limit_ms = max(LATENESS_FLOOR_MS, LATENESS_SHARE * figures.latency_ms["p50"].value)
    if figures.lateness_p99_ms > limit_ms:
        doubts.append(
            f"The client sent late: p99 lateness {figures.lateness_p99_ms:.1f} ms, limit "
            f"{limit_ms:.1f} ms. Lower --rate or give the client its own cores."
        )
    if figures.loop_lag_p99_ms > limit_ms:
        doubts.append(
            f"The client's event loop lagged: p99 {figures.loop_lag_p99_ms:.1f} ms, limit "
            f"{limit_ms:.1f} ms. Give the client its own cores."
        )
    if figures.client_cpu_share > CLIENT_CPU_SHARE:
        doubts.append(
            f"The client used {figures.client_cpu_share:.0%} of its one core, so it may be the "
            "bottleneck. Lower --users or --rate."
        )
    if figures.achieved_rps < ACHIEVED_SHARE * figures.offered_rps:
        doubts.append(
            f"Achieved {figures.achieved_rps:.1f} of {figures.offered_rps:.1f} requests/s "
            "offered: the latencies grow with the length of the run. Lower --rate."
        )
    if unanswered := figures.status.get(str(NO_ANSWER), 0):
        doubts.append(
            f"{unanswered} requests got no answer at all: see the server's log beside the report."
        )
    if refused := figures.requests - figures.status["200"] - unanswered:
        doubts.append(
            f"{refused} of {figures.requests} requests were refused; the latencies are those of "
            "the others. Lower --rate or --users."
        )
    if figures.latency_ms["p99"].high is None:
        doubts.append(
            f"{figures.status['200']} answers are too few for an upper bound of p99: "
            "368 are the least. Raise --seconds."
        )
    return doubts
