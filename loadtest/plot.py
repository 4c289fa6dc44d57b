"""The picture of a report: latency and throughput against model size.

It does not know raw times: it draws what the report holds.
"""

from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter

QUANTILES_DRAWN = ("p50", "p99")


def plot(report: dict[str, Any], path: Path) -> None:
    """Two panels over megabytes on disk: open latency with its intervals, closed throughput."""
    figure = Figure(figsize=(11, 4.5), layout="constrained")
    latency, throughput = figure.subplots(1, 2)
    _draw_latency(latency, report["variants"])
    _draw_throughput(throughput, report["variants"])
    figure.suptitle(f"{report['machine']['cpu']}, {report['machine']['cores']} cores")
    figure.savefig(path, dpi=120)


def _draw_latency(axes: Axes, variants: list[dict[str, Any]]) -> None:
    for quantile in QUANTILES_DRAWN:
        drawn = [
            (variant["bytes"] / 1e6, phase["latency_ms"][quantile], variant)
            for variant in variants
            if (phase := variant["phases"].get("open")) and quantile in phase["latency_ms"]
        ]
        axes.errorbar(
            [megabytes for megabytes, _, _ in drawn],
            [ms["value"] for _, ms, _ in drawn],
            yerr=[
                [ms["value"] - (ms["low"] or ms["value"]) for _, ms, _ in drawn],
                [(ms["high"] or ms["value"]) - ms["value"] for _, ms, _ in drawn],
            ],
            fmt="o",
            capsize=4,
            label=f"{quantile}, 95 % interval",
        )
    for megabytes, ms, variant in drawn:
        _name(axes, variant, megabytes, ms["value"])
    axes.set(yscale="log", ylabel="ms from the intended start", title="Latency, open arrivals")
    _size_axis(axes)
    _plain_log_ticks(axes.yaxis)
    axes.margins(0.25)
    axes.legend()


def _draw_throughput(axes: Axes, variants: list[dict[str, Any]]) -> None:
    for variant in variants:
        if phase := variant["phases"].get("closed"):
            megabytes = variant["bytes"] / 1e6
            axes.plot(megabytes, phase["achieved_rps"], "o", color="tab:green")
            _name(axes, variant, megabytes, phase["achieved_rps"])
    axes.set(ylabel="requests/s", title="Throughput, closed loop")
    _size_axis(axes)
    axes.set_ylim(0, 1.2 * axes.get_ylim()[1])


def _size_axis(axes: Axes) -> None:
    axes.set(xscale="log", xlabel="bundle, MB")
    _plain_log_ticks(axes.xaxis)
    axes.margins(x=0.25)


def _plain_log_ticks(axis: Axis) -> None:
    axis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    axis.set_major_formatter("{x:g}")
    axis.set_minor_formatter(NullFormatter())


def _name(axes: Axes, variant: dict[str, Any], x: float, y: float) -> None:
    accuracy = variant["accuracy"]
    said = f", accuracy {accuracy['value']:.3f}" if accuracy else ""
    axes.annotate(
        f"{variant['variant']}{said}",
        (x, y),
        xytext=(0, 8),
        textcoords="offset points",
        ha="center",
        fontsize=8,
    )
