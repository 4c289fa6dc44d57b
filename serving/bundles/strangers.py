"""Folders in a registry that were never meant as bundles, such as lost+found."""

from collections.abc import Collection, Iterable
from pathlib import Path

from serving.bundles.broken import holds_parts
from serving.bundles.files import NAME
from serving.bundles.registry import BESIDE


def strangers(refused: Iterable[str], registries: Collection[Path]) -> frozenset[str]:
    """Return those of the refused paths that nobody meant as a bundle, as far as one can tell.

    They have a name that no family or variant can have, or hold no file of a bundle. A link that
    leads nowhere was meant as one.
    """
    return frozenset(each for each in refused if _is_stranger(Path(each), registries))


def _is_stranger(path: Path, registries: Collection[Path]) -> bool:
    is_family, is_variant = path.parent in registries, path.parent.parent in registries
    if not is_family and not is_variant:
        return False
    named = bool(NAME.fullmatch(path.name.partition(BESIDE)[0]))
    try:
        if path.is_symlink() or not path.is_dir():
            return False
        return not holds_parts(path) and (is_variant or not named)
    except OSError:
        return not named
