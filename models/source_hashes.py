"""The source code that a stage runs, as hashes: its module and everything that this imports."""

import ast
import hashlib
from collections.abc import Iterator
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[1]
_PROGRAMS = ("models", "serving")


def source_hashes(module: str, root: Path = ROOT) -> dict[str, str]:
    """Hash the code of `module` and of all it imports from models and serving, by module.

    Serving's modules count: a bundle is scored with serving's tokenizer and engine, so a change
    there can change a measured accuracy. Comments, docstrings and layout do not count, so that
    rewording one does not retrain a family. Installed libraries do not count either: upgrade one
    and delete the build folder to use it. `root` is the folder that holds the programs.
    """
    hashes: dict[str, str] = {}
    waiting = [module]
    while waiting:
        name = waiting.pop()
        path = _path(name, root)
        if path is not None and name not in hashes:
            hashes[name], imported = _read(path.read_text(encoding="utf-8"))
            waiting += imported
    return hashes


def _path(module: str, root: Path) -> Path | None:
    """The module's file; None for a name inside a module or a module of another program."""
    if module.partition(".")[0] not in _PROGRAMS:
        return None
    path = root.joinpath(*module.split("."))
    places = (path.with_suffix(".py"), path / "__init__.py")
    return next((place for place in places if place.is_file()), None)


@cache
def _read(source: str) -> tuple[str, tuple[str, ...]]:
    """The hash of a module's code and what it imports."""
    tree = ast.parse(source)
    imported = tuple(_imported(tree))
    return hashlib.sha256(_code(tree).encode()).hexdigest(), imported


def _imported(tree: ast.Module) -> Iterator[str]:
    """Every name that is imported anywhere in a module, those inside functions included."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def _code(tree: ast.Module) -> str:
    """The code alone. Removes the docstrings from `tree`."""
    for node in ast.walk(tree):
        documented = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef
        if isinstance(node, documented) and ast.get_docstring(node) is not None:
            node.body[0] = ast.Pass()
    return ast.unparse(tree)
