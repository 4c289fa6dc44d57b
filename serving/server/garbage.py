"""Python's garbage collector: how often it looks, and what it need not look at."""

import gc

# It looks at the youngest objects once there are so many, and the tenth time at those that it has
# seen before too. Python's own 700 made it look at all connections while they came.
_THRESHOLDS = (10_000, 10, 10)


def collect_seldom() -> None:
    """Let the collector look seldom: connections and requests leave nothing that it would find."""
    gc.set_threshold(*_THRESHOLDS)


def set_loaded_aside() -> None:
    """Leave what is loaded out of every collection: looking at it would pause all requests."""
    gc.collect()
    gc.freeze()
