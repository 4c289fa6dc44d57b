"""A family's own files, such as windows.json, in its folder beside its bundles."""

from pathlib import Path

from pydantic import BaseModel

from serving.bundles.bundle import Bundle
from serving.bundles.files import Parsed, parse, read_text, replace_file, sync
from serving.errors import BundleError, failures


def read_beside(bundle: Bundle, model: type[Parsed], name: str) -> Parsed | None:
    """Read a file of the bundle's family; None if there is none. Raises BundleError.

    A model that is served from a folder or a file as it is has no family around it.
    """
    return None if bundle.elsewhere else read_family_file(bundle.folder.parent, name, model)


def read_family_file(family: Path, name: str, model: type[Parsed]) -> Parsed | None:
    """Read a file of the family's folder; None if there is none. Raises BundleError."""
    path = family / name
    if not path.exists():
        return None
    with failures(BundleError, f"{path} cannot be read"):
        return parse(model, read_text(path), path)


def write_family_file(
    family: Path, name: str, content: BaseModel, *, exclude_none: bool = False
) -> Path:
    """Write a file into the family's folder, whole or not at all. Raises BundleError.

    With `exclude_none` it has no fields without a value.
    """
    path = family / name
    with failures(BundleError, f"{path} stays as it was, since it cannot be written"):
        text = content.model_dump_json(indent=1, exclude_none=exclude_none)
        replace_file(path, f"{text}\n".encode())
        sync(family)
    return path
