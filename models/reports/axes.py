"""Axes of sizes and costs: logarithmic, and labelled however narrow their range is."""

from matplotlib.axes import Axes
from matplotlib.ticker import EngFormatter, LogLocator, MaxNLocator, NullFormatter, NullLocator

_FEWEST_TICKS = 3


def scale_sizes(axes: Axes) -> None:
    """Make the x-axis logarithmic, with at least two labels inside its present limits.

    Ticks are at 1, 2 and 5 times powers of ten, or if too few of these are in sight, evenly spaced.
    """
    axes.set_xscale("log")
    low, high = axes.get_xlim()
    axis, locator = axes.xaxis, LogLocator(subs=(1, 2, 5))
    inside = sum(low <= tick <= high for tick in locator.tick_values(low, high))
    axis.set_major_locator(locator if inside >= _FEWEST_TICKS else MaxNLocator(5))
    axis.set_major_formatter(EngFormatter())
    axis.set_minor_locator(NullLocator())
    axis.set_minor_formatter(NullFormatter())
