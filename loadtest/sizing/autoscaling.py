"""Simulate autoscaling: a trace of arrival rates over measured replicas and the HPA.

A deterministic fluid model in steps of a second: a balancer gives each ready replica an equal
share; below its saturation a replica behaves as measured at that rate; what exceeds the saturation
waits, is served at the saturated rate, and is refused at the server's limits. Replicas that became
ready together are simulated as one cohort.
"""

import csv
import math
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from loadtest.analysis.replica_curve import ReplicaCurve, ScalingTargets
from loadtest.scenario import regular
from loadtest.sizing.hpa import SYNC_S, Autoscaler, Behaviour, proposal

TRACES = Path(__file__).parents[1] / "traces"
WINDOW_S = 60  # over which the metrics are averaged: rate(...[1m])
# The server's defaults: SIZEWISE_MAX_REQUESTS and SIZEWISE_DEFAULT_DEADLINE_MS.
MAX_REQUESTS, DEADLINE_S = 1024, 10.0


@dataclass(frozen=True)
class SimulationConfig:
    """What stays the same for every scaling signal."""

    curve: ReplicaCurve
    slo_s: float
    smallest: int
    largest: int
    first: int
    start_s: float
    """From the HPA's decision to a ready replica: scheduling and the server's start."""
    behaviour: Behaviour = field(default_factory=Behaviour)

    def __post_init__(self) -> None:
        """Raise ValueError if no number of replicas lies within the bounds."""
        if not 1 <= self.smallest <= self.largest:
            raise ValueError(
                f"an autoscaler needs 1 <= minimum <= maximum, got {self.smallest} to "
                f"{self.largest} replicas: change --min-replicas or --max-replicas"
            )


@dataclass
class Cohort:
    """Replicas that became ready together; backlog and metrics are those of one of them."""

    count: int
    backlog: float = 0.0
    seconds: deque[dict[str, float]] = field(default_factory=lambda: deque(maxlen=WINDOW_S))


@dataclass(frozen=True)
class SimulatedSecond:
    """One second of the simulation, with the requests of all replicas together."""

    offered: float
    served: float
    refused: float
    missed: float
    """The offered requests that were refused or slower than the SLO."""
    queue_s: float
    ready: int
    replicas: int


@dataclass(frozen=True)
class Simulation:
    """A simulated trace; `backlog` is what still waited at its end."""

    seconds: list[SimulatedSecond]
    backlog: float

    def total(self, of: Callable[[SimulatedSecond], float]) -> float:
        """Sum a figure over the seconds."""
        return math.fsum(of(second) for second in self.seconds)

    @property
    def missed_share(self) -> float:
        """The share of all requests that were refused or slower than the SLO."""
        return self.total(lambda s: s.missed) / max(self.total(lambda s: s.offered), 1e-9)

    @property
    def refused_share(self) -> float:
        """The share of all requests that were refused because a replica was full."""
        return self.total(lambda s: s.refused) / max(self.total(lambda s: s.offered), 1e-9)

    @property
    def replica_hours(self) -> float:
        """The replica-hours to pay for, with starting replicas."""
        return self.total(lambda s: s.replicas) / 3600.0

    @property
    def peak_replicas(self) -> int:
        """The highest number of replicas at a time."""
        return max(second.replicas for second in self.seconds)


METRICS: dict[str, Callable[[Sequence[dict[str, float]]], float]] = {
    "queue time": lambda seconds: (
        sum(s["waited_s"] for s in seconds) / max(sum(s["arrived"] for s in seconds), 1e-9)
    ),
    "requests in flight": lambda seconds: sum(s["in_flight"] for s in seconds) / len(seconds),
    "CPU": lambda seconds: sum(s["busy"] for s in seconds) / len(seconds),
}
"""A pod's metric over its last seconds. CPU utilization is modelled as the share of the saturated
rate; a server that spins, or gains efficiency in larger batches, shows more."""


def scaling_signals(
    found: ScalingTargets, curve: ReplicaCurve, cpu: float
) -> dict[str, dict[str, float]]:
    """Return the signals to compare by name, with their metrics and targets: the chart's, then CPU.

    The last signal is CPU with the target that loads a replica as the chart's signals do: a
    measured CPU target instead of a conventional one.
    """
    queue, in_flight = {"queue time": found.queue_s}, {"requests in flight": found.in_flight}
    same = found.rate_rps / curve.saturated_rps
    return {
        "queue time + in flight": queue | in_flight,
        f"CPU at {cpu:.0%}": {"CPU": cpu},
        "in flight alone": in_flight,
        "queue time alone": queue,
        f"CPU at {same:.0%}, by the curve": {"CPU": same},
    }


def simulate(
    rates_rps: Sequence[float], config: SimulationConfig, signal: dict[str, float]
) -> Simulation:
    """Simulate one rate per second, scaled by an HPA on the metrics and targets of `signal`."""
    autoscaler = Autoscaler(config.smallest, config.largest, config.behaviour)
    cohorts = [Cohort(config.first)]
    starting: list[tuple[float, int]] = []
    seconds = []
    for now_s, offered in enumerate(rates_rps):
        cohorts += [Cohort(count) for ready_s, count in starting if ready_s <= now_s]
        starting = [each for each in starting if each[0] > now_s]
        ready, pending = _count(cohorts), sum(count for _, count in starting)
        drained = 0.0
        if now_s and now_s % SYNC_S == 0:
            reporting = [cohort for cohort in cohorts if cohort.seconds]
            proposals = [
                proposal(
                    [METRICS[name](each.seconds) for each in reporting for _ in range(each.count)],
                    pending + ready - _count(reporting),
                    target,
                )
                for name, target in signal.items()
            ]
            change = autoscaler.replicas(now_s, ready + pending, proposals) - ready - pending
            if change > 0:
                starting.append((now_s + config.start_s, change))
            else:
                drained = _remove(-change, cohorts, starting)
            ready, pending = _count(cohorts), sum(count for _, count in starting)
        seconds.append(_second(offered, cohorts, config, drained, ready + pending))
    return Simulation(seconds, sum(cohort.count * cohort.backlog for cohort in cohorts))


def _count(cohorts: Sequence[Cohort]) -> int:
    return sum(cohort.count for cohort in cohorts)


def _remove(count: int, cohorts: list[Cohort], starting: list[tuple[float, int]]) -> float:
    """Remove the youngest replicas; return the backlog that they serve while they drain."""
    while count and starting:
        ready_s, last = starting.pop()
        if last > count:
            starting.append((ready_s, last - count))
        count = max(0, count - last)
    drained = 0.0
    while count:
        last_one = cohorts[-1]
        gone = min(count, last_one.count)
        drained += gone * last_one.backlog
        last_one.count -= gone
        count -= gone
        if not last_one.count:
            cohorts.pop()
    return drained


def _second(
    offered: float,
    cohorts: Sequence[Cohort],
    config: SimulationConfig,
    drained: float,
    replicas: int,
) -> SimulatedSecond:
    """Advance every cohort by one second at its share of the offered rate."""
    curve, ready = config.curve, _count(cohorts)
    arrived = offered / ready
    served = refused = missed = waited_s = 0.0
    room = min(MAX_REQUESTS, curve.saturated_rps * DEADLINE_S)
    for cohort in cohorts:
        done = min(cohort.backlog + arrived, curve.saturated_rps)
        left = cohort.backlog + arrived - done
        rejected = min(max(0.0, left - room), arrived)
        delay_s = (cohort.backlog + left - rejected) / 2.0 / curve.saturated_rps
        row = curve.at(done)
        queue_s = math.exp(row[0]) + delay_s
        late = _share_over(config.slo_s - delay_s, row[2:], curve.quantiles)
        cohort.backlog = left - rejected
        cohort.seconds.append(
            {
                "arrived": arrived,
                "waited_s": arrived * queue_s,
                "in_flight": curve.in_flight(done) + cohort.backlog,
                "busy": done / curve.saturated_rps,
            }
        )
        served += cohort.count * done
        refused += cohort.count * rejected
        missed += cohort.count * (rejected + (arrived - rejected) * late)
        waited_s += cohort.count * arrived * queue_s
    return SimulatedSecond(
        offered, served + drained, refused, missed, waited_s / max(offered, 1e-9), ready, replicas
    )


def _share_over(limit_s: float, logs: NDArray[np.float64], quantiles: Sequence[float]) -> float:
    """Return the share slower than a limit; beyond the last measured quantile it is taken as 0."""
    if limit_s <= 0.0:
        return 1.0
    return 1.0 - float(np.interp(math.log(limit_s), logs, quantiles, left=0.0, right=1.0))


def read_trace(path: Path, peak_rps: float | None = None) -> list[float]:
    """Read a CSV file of `seconds,requests_per_s` as a rate per second, linear between rows.

    With `peak_rps`, scale the whole trace to that peak. Raise ValueError if the file is not such a
    trace.
    """
    try:
        with regular(path).open(encoding="utf-8-sig", newline="") as file:
            rows = [row for row in csv.reader(file) if row and not row[0].startswith("#")]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise ValueError(f"trace {path}: {error}; write it as CSV in UTF-8") from error
    if not rows or rows[0] != ["seconds", "requests_per_s"]:
        raise ValueError(f"trace {path} must begin with the line seconds,requests_per_s")
    try:
        times_s, rates_rps = (
            np.asarray(column, np.float64) for column in zip(*rows[1:], strict=True)
        )
    except ValueError as error:
        raise ValueError(
            f"trace {path}: {error}; each row needs a time in seconds and a rate"
        ) from error
    if len(times_s) < 2 or (np.diff(times_s) <= 0).any() or not (rates_rps >= 0).all():
        raise ValueError(f"trace {path}: times must ascend, and rates must be at least 0")
    seconds = np.interp(np.arange(times_s[0], times_s[-1]), times_s, rates_rps)
    return list(seconds * (peak_rps / seconds.max()) if peak_rps else seconds)
