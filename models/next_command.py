"""Commands that the user is told to run next, with names quoted for a POSIX shell."""

import shlex
from collections.abc import Sequence
from pathlib import Path


def quoted(name: object) -> str:
    """Return a path or another name as a shell reads it, whatever characters it has."""
    return shlex.quote(str(name))


def serving(registry: Path, variants: Sequence[str] = ()) -> str:
    """Return the command that serves a registry, or only these of its variants."""
    settings = [f"SIZEWISE_REGISTRY={quoted(registry)}"]
    if variants:
        settings.append(f"SIZEWISE_VARIANTS={quoted(','.join(variants))}")
    return " ".join([*settings, "python -m serving"])
