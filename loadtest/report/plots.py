"""The plots of a report: frontier, latency against throughput and size, and latency's parts."""

from textwrap import fill
from typing import Any

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter, LogLocator, NullFormatter

from loadtest.analysis.power_law import PowerLaw
from loadtest.analysis.statistics import Estimate
from loadtest.report.markdown import STEPS, known_splits

_LAW_TIME = "engine, ms"
_SINGLE, _CASCADE = "o", "D"
_NAME_WIDTH = 24  # characters


def plots(report: dict[str, Any]) -> dict[str, Figure]:
    """Draw each plot, by name; leave out plots without data."""
    drawn = {
        "frontier": _frontier(report),
        "latency_throughput": _curves(report),
        "latency_size": _sizes(report),
        "split": _split(report),
    }
    return {name: figure for name, figure in drawn.items() if figure is not None}


def _figure(width: float = 8.0, height: float = 4.8) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(width, height), layout="constrained")
    return figure, figure.subplots()


def _colours(report: dict[str, Any]) -> dict[str, Any]:
    names = [variant["variant"] for variant in report["variants"]]
    return {name: colormaps["tab20"](number % 20) for number, name in enumerate(names)}


def _marker(variant: dict[str, Any]) -> str:
    return _SINGLE if len(variant["stages"]) == 1 else _CASCADE


def _wrapped(variant: dict[str, Any]) -> str:
    """Return a name in lines so short that it leaves room for the plot."""
    return fill(variant["variant"], _NAME_WIDTH)


def _frontier(report: dict[str, Any]) -> Figure | None:
    """Plot accuracy over p99, with areas by bytes and the frontier as a line."""
    shown = [
        (variant, load["latency_ms"]["p99"])
        for variant in report["variants"]
        if variant["accuracy"]
        and (load := variant["loads"].get(report["reference_load"]))
        and load["latency_ms"]
        and load["latency_ms"]["p99"]["value"]
    ]
    if not shown:
        return None
    figure, axes = _figure()
    colours = _colours(report)
    for variant, p99 in shown:
        accuracy, x = variant["accuracy"], p99["value"]
        axes.errorbar(
            x,
            accuracy["value"],
            xerr=[[_below(p99)], [_above(p99)]],
            yerr=[[_below(accuracy)], [_above(accuracy)]],
            color=colours[variant["variant"]],
            elinewidth=0.8,
        )
        axes.scatter(x, accuracy["value"], s=20 + 6 * variant["bytes"] / 1e6, alpha=0.6,
                     marker=_marker(variant), color=colours[variant["variant"]])  # fmt: skip
        axes.annotate(_wrapped(variant), (x, accuracy["value"]), xytext=(6, 6),
                      textcoords="offset points", fontsize=8)  # fmt: skip
    best = sorted((p99["value"], v["accuracy"]["value"]) for v, p99 in shown if v["on_frontier"])
    axes.plot(*zip(*best, strict=True), ":", color="grey", zorder=0)
    axes.set(
        xscale="log",
        xlabel=f"p99 under {report['reference_load']}, ms",
        ylabel="accuracy",
        title="Accuracy against latency (dotted: frontier; area: bytes; diamond: cascade)",
    )
    p99s = [p99["value"] for _, p99 in shown]
    axes.set_xlim(min(p99s) / 1.5, max(p99s) * 1.5)
    _plain_log_ticks(axes)
    return figure


def _curves(report: dict[str, Any]) -> Figure | None:
    """Plot p99 over the offered rate, one line per variant up to its last sustained rate."""
    answered = [
        (variant, [point for point in variant["curve"] if point["p99_ms"]])
        for variant in report["variants"]
    ]
    shown = [(variant, points) for variant, points in answered if points]
    if not shown:
        return None
    figure, axes = _figure()
    colours = _colours(report)
    for variant, on_curve in shown:
        points = sorted((point["rate_rps"], point["p99_ms"]) for point in on_curve)
        axes.plot(*zip(*points, strict=True), f"{_marker(variant)}-", ms=4,
                  label=_wrapped(variant), color=colours[variant["variant"]])  # fmt: skip
    slo_ms = report["scenario"]["slo_p99_ms"]
    axes.axhline(slo_ms, ls="--", color="grey")
    axes.annotate(f"SLO {slo_ms:g} ms", (0, slo_ms), xytext=(4, 4), textcoords="offset points",
                  fontsize=8, xycoords=("axes fraction", "data"))  # fmt: skip
    axes.set(
        yscale="log", xlabel="requests/s offered to one replica", ylabel="p99, ms",
        title="Latency against throughput, open loads",
    )  # fmt: skip
    axes.set_xlim(left=0)
    axes.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    axes.yaxis.set_major_formatter("{x:g}")
    axes.yaxis.set_minor_formatter(NullFormatter())
    axes.legend(fontsize=8, ncols=2)
    return figure


def _sizes(report: dict[str, Any]) -> Figure | None:
    """Plot engine time over parameters, with the power law of each precision."""
    load = report["reference_load"]
    shown = [
        (variant, found["split_median_ms"]["engine"])
        for variant in report["variants"]
        if (found := variant["loads"].get(load)) and found["split_median_ms"]["engine"]
    ]
    if not shown:
        return None
    figure, axes = _figure()
    precisions = sorted({variant["precision"] for variant, _ in shown})
    for number, precision in enumerate(precisions):
        own = [(v, ms) for v, ms in shown if v["precision"] == precision]
        colour = f"C{number}"
        axes.plot([v["parameters"] for v, _ in own], [ms for _, ms in own], _marker(own[0][0]),
                  color=colour, label=precision)  # fmt: skip
        for variant, ms in own:
            axes.annotate(_wrapped(variant), (variant["parameters"], ms), xytext=(5, 4),
                          textcoords="offset points", fontsize=7)  # fmt: skip
        for law in report["laws"]:
            if (law["time"], law["size"], law["precision"]) == (
                _LAW_TIME, "parameters", precision,
            ):  # fmt: skip
                counts = [v["parameters"] for v, _ in own]
                sizes = np.geomspace(min(counts), max(counts), 50)
                label = f"{precision}: {_formula(law)}"
                axes.plot(sizes, _power_law(law).at(sizes), "--", color=colour, label=label)
    axes.set(
        xscale="log", yscale="log", xlabel="parameters", ylabel=f"engine time under {load}, ms",
        title="Time in the engine against size",
    )  # fmt: skip
    _plain_log_ticks(axes)
    axes.xaxis.set_major_formatter(EngFormatter(sep=" "))
    axes.legend(fontsize=7)
    return figure


def _split(report: dict[str, Any]) -> Figure | None:
    """Plot the parts of the median latency, one bar per variant, the null model first."""
    load = report["reference_load"]
    known = known_splits(report)
    if not known:
        return None
    names = [_wrapped(variant) if variant else "no inference" for variant, _ in known]
    figure, axes = _figure(height=1.5 + 0.3 * len(known))
    left = np.zeros(len(known))
    for step in STEPS:
        widths = np.array([split[step] for _, split in known])
        label = "HTTP, network, client" if step == "rest" else step
        axes.barh(names, widths, left=left, label=label)
        left += widths
    axes.invert_yaxis()
    axes.set(xlabel=f"median ms under {load}", title="Where a request's time goes")
    axes.legend(fontsize=8)
    return figure


def _power_law(law: dict[str, Any]) -> PowerLaw:
    estimates = {name: Estimate(**law[name]) for name in ("t0", "c", "beta")}
    return PowerLaw(law["points"], law["unit"], **estimates, scatter=law["scatter"], doubts=[])


def _formula(law: dict[str, Any]) -> str:
    if law["doubts"]:
        return "no power law"
    t0, c, beta = (law[name]["value"] for name in ("t0", "c", "beta"))
    return f"{t0:.1f} + {c:.1f} (n/{law['unit'] / 1e6:.1f} M)^{beta:.2f}"


def _below(found: dict[str, float | None]) -> float:
    value = found["value"]
    assert value is not None, "only estimates with a value are drawn"
    low = found["low"]
    return 0.0 if low is None else max(0.0, min(value - low, 0.99 * value))


def _above(found: dict[str, float | None]) -> float:
    value, high = found["value"], found["high"]
    return 0.0 if high is None or value is None else max(0.0, high - value)


def _plain_log_ticks(axes: Axes) -> None:
    for axis in (axes.xaxis, axes.yaxis):
        if axis.get_scale() == "log":
            axis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
            axis.set_major_formatter("{x:,g}")
            axis.set_minor_formatter(NullFormatter())
