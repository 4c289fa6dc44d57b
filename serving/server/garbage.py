"""Python's garbage collector: what it need not look at."""

import gc


def set_loaded_aside() -> None:
    """Leave what is loaded out of every collection: looking at it would pause all requests."""
    gc.collect()
    gc.freeze()
