"""The measured behaviour of one replica at any rate, and the autoscaling targets from it."""

import math
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from loadtest.analysis.capacity import capacity, load_points, texts_per_request
from loadtest.analysis.summary import QUANTILES
from loadtest.samples import ANSWER_TIMEOUT_S

# An HPA counts in thousandths, so a queue time in whole milliseconds: below ten of them one step
# exceeds its tolerance of a tenth.
MIN_QUEUE_S = 0.01


@dataclass(frozen=True)
class ReplicaCurve:
    """What was measured of one replica at each rate, up to its saturation."""

    rates_rps: tuple[float, ...]
    """Ascending; the last is the throughput under the closed load."""
    logs: NDArray[np.float64]
    """Logarithms, shape (rates, 2 + quantiles): seconds in the queue, in the server, latencies."""
    quantiles: tuple[float, ...]

    @property
    def saturated_rps(self) -> float:
        """The highest rate that the replica serves."""
        return self.rates_rps[-1]

    def at(self, rate_rps: float) -> NDArray[np.float64]:
        """Interpolate the row of `logs` at a rate; constant below the lowest measured rate."""
        rate_rps = min(max(rate_rps, self.rates_rps[0]), self.saturated_rps)
        above = min(max(1, bisect_right(self.rates_rps, rate_rps)), len(self.rates_rps) - 1)
        left, right = self.rates_rps[above - 1], self.rates_rps[above]
        share = (rate_rps - left) / (right - left)
        row: NDArray[np.float64] = (1.0 - share) * self.logs[above - 1] + share * self.logs[above]
        return row

    def queue_s(self, rate_rps: float) -> float:
        """Return the mean wait of a request for its batch."""
        return math.exp(self.at(rate_rps)[0])

    def in_flight(self, rate_rps: float) -> float:
        """Return the requests that wait or run: by Little's law, rate x mean time in the server."""
        return rate_rps * math.exp(self.at(rate_rps)[1])


@dataclass(frozen=True)
class ScalingTargets:
    """What an autoscaler holds each replica at: targets for its two metrics, at `rate_rps`."""

    rate_rps: float
    queue_s: float
    in_flight: float


def replica_curve(variant: dict[str, Any]) -> ReplicaCurve | None:
    """Build the curve of a variant; None without a closed load, an open one or queue times."""
    loads = list(variant["loads"].values())
    rates = {point.rate_rps for point in load_points(loads) if math.isfinite(point.p99_ms)}
    size = texts_per_request([variant])
    closed = next(
        (each for each in loads if each["kind"] == "closed" and each["texts_per_request"] == size),
        None,
    )
    if not closed or not closed["achieved_rps"]:
        return None
    saturated_rps = closed["achieved_rps"]["value"]
    rows = {saturated_rps: closed}
    for load in loads:
        offered = load["offered_rps"]
        if (
            load["on_curve"]
            and offered
            and offered["value"] in rates
            and offered["value"] < saturated_rps
        ):
            rows[offered["value"]] = load
    if len(rows) < 2 or any(load["split_mean_ms"]["queue"] is None for load in rows.values()):
        return None
    names = [
        name for name in QUANTILES if all(name in load["latency_ms"] for load in rows.values())
    ]
    ms = [_row_ms(rows[rate], names) for rate in sorted(rows)]
    logs = np.log(np.maximum(np.asarray(ms) / 1e3, 1e-6))
    return ReplicaCurve(
        rates_rps=tuple(sorted(rows)),
        logs=np.maximum.accumulate(logs),  # more load is not faster: a dip is noise
        quantiles=tuple(QUANTILES[name] for name in names),
    )


def _row_ms(load: dict[str, Any], names: Sequence[str]) -> list[float]:
    """Return a row in ms; a quantile that got no answer is at least the client's patience."""
    mean_ms = load["split_mean_ms"]
    in_server_ms = mean_ms["queue"] + mean_ms["engine"]
    values = (load["latency_ms"][name]["value"] for name in names)
    patience_ms = ANSWER_TIMEOUT_S * 1e3
    quantiles_ms = (patience_ms if each is None else each for each in values)
    return [mean_ms["queue"], in_server_ms, *quantiles_ms]


def scaling_targets(
    variant: dict[str, Any], slo_ms: float, headroom: float
) -> ScalingTargets | None:
    """Return the targets that keep a variant's p99 within the SLO; None if none is known to.

    The capacity is that at the upper bounds of the p99s, as where `recommend` counts replicas: by
    the p99s themselves an autoscaler would remove the replicas that the bounds had asked for.
    Requests in flight do the scaling: their target is their number at the capacity less the
    headroom. Queue time stays flat, below an HPA's resolution, until a replica is nearly full, so
    it is the alarm: its target is its value at the full capacity, at least MIN_QUEUE_S.
    """
    found = capacity(load_points(variant["loads"].values(), "high"), slo_ms)
    curve = replica_curve(variant)
    if found is None or curve is None:
        return None
    rate_rps = found.rate_rps * (1.0 - headroom)
    return ScalingTargets(
        rate_rps=rate_rps,
        queue_s=max(MIN_QUEUE_S, curve.queue_s(found.rate_rps)),
        in_flight=curve.in_flight(rate_rps),
    )
