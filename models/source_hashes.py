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
    code = ast.unparse(_WithoutDocstrings().visit(tree))
    return hashlib.sha256(code.encode()).hexdigest(), imported


def _imported(tree: ast.Module) -> Iterator[str]:
    """Every name that is imported anywhere in a module, those inside functions included."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


class _WithoutDocstrings(ast.NodeTransformer):
    def visit_Expr(self, node: ast.Expr) -> ast.Expr | None:
        """Remove a string that stands alone: the docstring of a module, function or field."""
        is_text = isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
        return None if is_text else node
