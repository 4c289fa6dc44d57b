"""The imports between the sources, read from their syntax trees."""

import ast
from collections.abc import Iterator, Mapping
from pathlib import Path

ROOT = Path(__file__).parents[2]
PROGRAMS = ("serving", "models", "loadtest")

Graph = Mapping[str, set[str]]


def module_of(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


SOURCES = {
    module_of(path): path for program in PROGRAMS for path in sorted((ROOT / program).rglob("*.py"))
}


def imports(source: str) -> Iterator[str]:
    """Every module that a source imports, as deep as the name tells."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, "relative imports hide where a name comes from"
            yield node.module
            for alias in node.names:
                if f"{node.module}.{alias.name}" in SOURCES:
                    yield f"{node.module}.{alias.name}"


def module_graph() -> Graph:
    """Each module and the modules of the three programs that it imports."""
    return {
        module: {name for name in imports(path.read_text()) if name in SOURCES} - {module}
        for module, path in SOURCES.items()
    }


def package_of(module: str) -> str | None:
    """`program.package`; None for a module at a program's root."""
    package = ".".join(module.split(".")[:2])
    return package if package in PACKAGES else None


PACKAGES = {
    name for name, path in SOURCES.items() if path.name == "__init__.py" and name.count(".") == 1
}


def package_graph() -> Graph:
    """Each package and the packages whose modules its own modules import."""
    graph: dict[str, set[str]] = {package: set() for package in sorted(PACKAGES)}
    for module, imported in module_graph().items():
        if importer := package_of(module):
            graph[importer] |= set(filter(None, map(package_of, imported))) - {importer}
    return graph


def circle(graph: Graph) -> list[str] | None:
    """A circle of a graph as a list of nodes, its first also last; None where there is none."""
    done: set[str] = set()
    path: list[str] = []

    def walk(node: str) -> list[str] | None:
        if node in path:
            return [*path[path.index(node) :], node]
        if node in done:
            return None
        path.append(node)
        for follower in sorted(graph.get(node, ())):
            if found := walk(follower):
                return found
        done.add(path.pop())
        return None

    return next(filter(None, map(walk, graph)), None)
