"""The figures of one phase from its raw times."""

from collections import Counter
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from loadtest.samples import MAX_IN_FLIGHT, SERVER_STEPS, Samples

_FULL = 0.9  # of what the client may hold: its processes share its requests almost evenly


@dataclass(frozen=True)
class PhaseSummary:
    """The figures of one phase.

    A request that was refused, failed or got no answer is slower than any limit: a latency is None
    where the quantile falls on one of them.
    """

    round: int
    requests: int
    status: dict[str, int]
    offered_rps: float
    achieved_rps: float
    goodput_rps: float
    p50_ms: float | None
    p99_ms: float | None
    answered_p99_ms: float | None
    """Of the requests answered with 200 alone, to compare the client's lateness with."""
    split_median_ms: dict[str, float | None]
    halves_ratio: float | None
    """Median latency of the second half of the answers / that of the first."""
    lateness_p99_ms: float
    """Of the requests that the client could have sent earlier."""
    loop_lag_p99_ms: float
    client_cpu_share: float
    other_cpu_share: float
    """Share of the machine's cores that other programs took during the phase."""
    refusals: list[str] = field(default_factory=list)
    """Why the phase counts in no figure: faults of the client or of the machine."""
    causes: list[str] = field(default_factory=list)
    """The same without figures, so that phases can be counted by cause."""
    findings: list[str] = field(default_factory=list)
    """What the server did not keep up with; the phase counts."""


def phase_figures(samples: Samples, slo_ms: float) -> PhaseSummary:
    """Compute the figures of the measured part of a phase, without its warm-up.

    A request counts if its intended start is in the measured time, even if its answer came later,
    so that a backlog counts in full. The achieved rate counts the answers that came within the
    measured time; goodput counts those of them that took at most `slo_ms`.
    """
    phase = samples.phase
    measured = measured_requests(samples)
    answered = samples.status == 200
    ended_inside = (samples.end_s >= phase.warmup_s) & (samples.end_s < phase.total_s)
    within = samples.latency_ms <= slo_ms
    latency_ms = latencies_ms(samples)
    answered_ms = samples.latency_ms[measured & answered]
    lateness_ms = (samples.start_s - samples.intended_s)[measured & ~_waited_for_room(samples)]
    requests = int(measured.sum())
    statuses = Counter(samples.status[measured].tolist())
    return PhaseSummary(
        round=phase.round,
        requests=requests,
        status={str(code): statuses[code] for code in sorted(statuses)},
        offered_rps=requests / phase.measured_s,
        achieved_rps=int((answered & ended_inside).sum()) / phase.measured_s,
        goodput_rps=int((answered & ended_inside & within).sum()) / phase.measured_s,
        p50_ms=quantile(latency_ms, 0.5),
        p99_ms=quantile(latency_ms, 0.99),
        answered_p99_ms=quantile(answered_ms, 0.99),
        split_median_ms=_split_median_ms(samples, answered_requests(samples)),
        halves_ratio=_halves_ratio(answered_ms[np.argsort(samples.end_s[measured & answered])]),
        lateness_p99_ms=(quantile(lateness_ms, 0.99) or 0.0) * 1e3,
        loop_lag_p99_ms=samples.client.loop_lag_p99_s * 1e3,
        client_cpu_share=samples.client.cpu_share,
        other_cpu_share=samples.machine.other_cpu_share,
    )


def measured_requests(samples: Samples) -> NDArray[np.bool_]:
    """Mark the requests due in the measured time."""
    measured: NDArray[np.bool_] = samples.intended_s >= samples.phase.warmup_s
    return measured


def answered_requests(samples: Samples) -> NDArray[np.bool_]:
    """Mark the requests due in the measured time that were answered with 200."""
    answered: NDArray[np.bool_] = measured_requests(samples) & (samples.status == 200)
    return answered


def latencies_ms(samples: Samples) -> NDArray[np.float64]:
    """Return the latencies of all requests due in the measured time, in the order of time.

    They are infinite without a 200.
    """
    measured = measured_requests(samples)
    latency_ms = np.where(samples.status == 200, samples.latency_ms, np.inf)[measured]
    ordered: NDArray[np.float64] = latency_ms[np.argsort(samples.intended_s[measured])]
    return ordered


def quantile(values: NDArray[np.float64], q: float) -> float | None:
    """Return the q-quantile, one of the values; None without any, or where it is infinite."""
    if not values.size:
        return None
    found = float(np.quantile(values, q, method="inverted_cdf"))
    return found if np.isfinite(found) else None


def _waited_for_room(samples: Samples) -> NDArray[np.bool_]:
    """Mark the requests sent while the client held as many as it may: the server's lateness."""
    started, ended = np.sort(samples.start_s), np.sort(samples.end_s)
    in_flight = np.searchsorted(started, samples.start_s, "right") - np.searchsorted(
        ended, samples.start_s, "right"
    )
    full: NDArray[np.bool_] = in_flight >= _FULL * MAX_IN_FLIGHT * samples.processes
    return full


def _split_median_ms(samples: Samples, counted: NDArray[np.bool_]) -> dict[str, float | None]:
    """Return the medians of the server's steps and of the rest: HTTP, network and client."""
    steps = {name: samples.server_ms[name][counted] for name in SERVER_STEPS}
    steps["rest"] = samples.latency_ms[counted] - sum(steps.values())
    known = {name: values[~np.isnan(values)] for name, values in steps.items()}
    return {name: float(np.median(ms)) if ms.size else None for name, ms in known.items()}


def _halves_ratio(latency_ms: NDArray[np.float64]) -> float | None:
    if latency_ms.size < 2:
        return None
    first, second = np.array_split(latency_ms, 2)
    return float(np.median(second) / np.median(first))
