"""What is remembered of bundles and families, for no longer than they exist."""

from collections.abc import Container
from typing import Any, TypeVar

_Name = TypeVar("_Name")


def retain(known: dict[_Name, Any], names: Container[_Name]) -> None:
    """Forget everything but these; other threads may add something meanwhile."""
    for name in list(known):
        if name not in names:
            known.pop(name, None)
