"""The plot and the table of an autoscaling simulation: one trace under several signals."""

from collections.abc import Callable, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from loadtest.analysis.replica_curve import ScalingTargets
from loadtest.report.text_table import table
from loadtest.sizing.autoscaling import SimulatedSecond, Simulation, SimulationConfig

_COLOURS = ("C0", "C1")
_BIN_S = 60


def autoscaling_table(
    variant: str,
    config: SimulationConfig,
    found: ScalingTargets,
    compared: dict[str, dict[str, float]],
    played: dict[str, Simulation],
) -> str:
    """Tabulate what each signal missed and cost, and say what the model leaves out."""
    head = ["signal", "targets", "SLO missed", "refused", "replica-hours", "peak replicas"]
    rows = [
        [
            name,
            ", ".join(f"{metric} {target:.3g}" for metric, target in compared[name].items()),
            f"{each.missed_share:.2%}",
            f"{each.refused_share:.2%}",
            f"{each.replica_hours:.1f}",
            str(each.peak_replicas),
        ]
        for name, each in played.items()
    ]
    return f"""{variant}, {config.smallest} to {config.largest} replicas, ready \
{config.start_s:.0f} s after the decision. The targets are for {found.rate_rps:.0f} requests/s per \
replica with a p99 of at most {config.slo_s * 1e3:g} ms; a replica saturates at \
{config.curve.saturated_rps:.0f}.
{table(head, rows)}
The model leaves out: CPU time of spinning or of small batches, texts whose lengths differ from
those measured, and an uneven balancer."""


def autoscaling_plot(
    title: str, played: dict[str, Simulation], slo_ms: float, replica_rps: float, largest: int
) -> Figure:
    """Plot two signals over one trace; `replica_rps` is the intended rate per replica."""
    figure = Figure(figsize=(10.0, 9.5), layout="constrained")
    rates, replicas, queue, missed = figure.subplots(4, sharex=True)
    figure.suptitle(title, fontsize=13, fontweight="bold")
    offered = _means(next(iter(played.values())).seconds, lambda second: second.offered)
    minutes = np.arange(offered.size) * _BIN_S / 60.0
    rates.fill_between(minutes, offered, color="grey", alpha=0.4, lw=0)
    rates.set(ylabel="requests/s offered")
    replicas.plot(minutes, offered / replica_rps, color="grey", lw=3, alpha=0.6,
                  label=f"needed: one for {replica_rps:.0f} requests/s")  # fmt: skip
    for (name, each), colour in zip(played.items(), _COLOURS, strict=True):
        share = (f"{name}: {each.missed_share:.2%} of requests missed the SLO, "
                 f"{each.replica_hours:.1f} replica-hours")  # fmt: skip
        # Plot every second: means would flatten the steps.
        every = np.arange(len(each.seconds)) / 60.0
        replicas.plot(every, [second.ready for second in each.seconds], color=colour, label=name)
        queue.plot(minutes, _queue_ms(each.seconds), color=colour)
        missed.fill_between(minutes, _missed_percent(each.seconds), color=colour, alpha=0.5,
                            label=share)  # fmt: skip
    _finish(replicas, queue, missed, slo_ms, largest)
    return figure


def _finish(replicas: Axes, queue: Axes, missed: Axes, slo_ms: float, largest: int) -> None:
    replicas.axhline(largest, ls=":", color="grey", lw=1)
    replicas.annotate("maxReplicas", (1, largest), xycoords=("axes fraction", "data"), fontsize=8,
                      xytext=(-4, -10), textcoords="offset points", ha="right")  # fmt: skip
    replicas.set(ylabel="ready replicas", ylim=(0, largest * 1.05))
    replicas.legend(fontsize=9, loc="upper left")
    queue.axhline(slo_ms, ls="--", color="grey", lw=1)
    queue.annotate(f"SLO {slo_ms:g} ms", (0, slo_ms), xycoords=("axes fraction", "data"),
                   xytext=(4, 4), textcoords="offset points", fontsize=8)  # fmt: skip
    queue.set(yscale="log", ylabel="mean queue time, ms")
    queue.yaxis.set_major_formatter("{x:g}")
    missed.axhline(1.0, ls="--", color="grey", lw=1)
    missed.annotate("1 %: the most that a p99 allows", (0, 1.0), xycoords=("axes fraction", "data"),
                    xytext=(4, 3), textcoords="offset points", fontsize=8)  # fmt: skip
    missed.set(
        yscale="symlog", ylim=(0, 110), ylabel="requests slower than\nthe SLO or refused, %",
        xlabel="minutes", yticks=[0, 1, 10, 100],
    )  # fmt: skip
    missed.yaxis.set_major_formatter("{x:g}")
    missed.legend(fontsize=9, loc="upper left")
    missed.margins(x=0)


def _means(
    seconds: Sequence[SimulatedSecond], of: Callable[[SimulatedSecond], float]
) -> NDArray[np.float64]:
    """Return a figure's mean over each minute."""
    values = np.array([of(second) for second in seconds])
    starts = np.arange(0, values.size, _BIN_S)
    sums: NDArray[np.float64] = np.add.reduceat(values, starts)
    return sums / np.diff([*starts, values.size])


def _weighted(
    seconds: Sequence[SimulatedSecond], of: Callable[[SimulatedSecond], float]
) -> NDArray[np.float64]:
    offered = _means(seconds, lambda second: second.offered)
    return _means(seconds, of) / np.maximum(offered, 1e-9)


def _queue_ms(seconds: Sequence[SimulatedSecond]) -> NDArray[np.float64]:
    return _weighted(seconds, lambda second: second.offered * second.queue_s * 1e3)


def _missed_percent(seconds: Sequence[SimulatedSecond]) -> NDArray[np.float64]:
    return _weighted(seconds, lambda second: second.missed * 100.0)
