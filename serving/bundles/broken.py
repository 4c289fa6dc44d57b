"""Whether a folder that cannot be read as a bundle was meant as one."""

from pathlib import Path

from serving.bundles.bundle import (
    CONFIG_NAME,
    MANIFEST_NAME,
    MODEL_NAME,
    OPENVINO_NAMES,
    TOKENIZER_NAME,
)
from serving.bundles.files import NAME

_PARTS = (MANIFEST_NAME, MODEL_NAME, *OPENVINO_NAMES, TOKENIZER_NAME, CONFIG_NAME)


def holds_parts(folder: Path) -> bool:
    """Return whether a folder holds a file of a bundle. Raises OSError if that cannot be seen."""
    return any((folder / name).exists() for name in _PARTS)


def holds_a_bundle(folder: Path) -> bool:
    """Return whether a folder that is refused was meant as a bundle, as far as one can tell."""
    if not NAME.fullmatch(folder.name) or not NAME.fullmatch(folder.parent.name):
        return False
    try:
        return holds_parts(folder)
    except OSError:
        return True
