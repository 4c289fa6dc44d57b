"""Whether anything in the registries has changed."""

import os
from collections.abc import Iterable
from pathlib import Path

from serving.bundles.exported import is_exported
from serving.bundles.one_model import state_of


def fingerprint(registries: Iterable[Path]) -> frozenset[tuple[str, int, int]]:
    """Return a value that changes if a file is added, removed, replaced or grows.

    What cannot be read counts too, with the number of the error.
    """
    found: set[tuple[str, int, int]] = set()

    def unreadable(error: OSError) -> None:
        found.add((str(error.filename), -1, error.errno or 0))

    for folder in registries:
        if is_exported(folder):
            found |= state_of(folder)
            continue
        for parent, _, names in os.walk(folder, onerror=unreadable):
            for name in names:
                path = os.path.join(parent, name)  # noqa: PTH118  os.walk gives strings
                try:
                    status = os.stat(path)  # noqa: PTH116
                except OSError as error:
                    unreadable(error)
                else:
                    found.add((path, status.st_mtime_ns, status.st_size))
    return frozenset(found)
