"""Which tests are slow: those that reach a process, a server or a training run.

Found by following the names that a test, its fixtures and their helpers use.
"""

import sys
import types
from collections.abc import Iterator

# What only a slow test reaches: other processes, whole servers, and PyTorch.
SLOW_MODULES = {"subprocess", "multiprocessing", "torch", "transformers", "onnxruntime"}
SLOW_PREFIXES = (
    "tests.support.processes.",
    "tests.support.containers.",
    "tests.support.prometheus.",
)
SLOW_FIXTURES = {"tone"}


def is_slow(item) -> bool:
    """Whether a collected test reaches what is slow."""
    if SLOW_FIXTURES & set(item.fixturenames):
        return True
    fixtures = item._fixtureinfo.name2fixturedefs.values()
    start = [item.function, *(each.func for definitions in fixtures for each in definitions)]
    return any(map(_is_slow_thing, _reached(start)))


def _is_slow_thing(thing) -> bool:
    if isinstance(thing, types.ModuleType):
        return thing.__name__.partition(".")[0] in SLOW_MODULES
    home = getattr(thing, "__module__", None) or ""
    if f"{home}.{getattr(thing, '__qualname__', '')}".startswith(SLOW_PREFIXES):
        return callable(thing)
    program = home.partition(".")[0]
    if program not in {"models", "loadtest"}:
        return False
    return home.endswith(".__main__") or bool(SLOW_MODULES & set(vars(sys.modules[home])))


def _reached(start: list) -> Iterator[object]:
    """The functions to start from and every global that they use, through the tests' own."""
    waiting, seen = list(start), set()
    while waiting:
        thing = waiting.pop()
        if id(thing) in seen:
            continue
        seen.add(id(thing))
        yield thing
        function = getattr(thing, "__wrapped__", thing)
        if (getattr(function, "__module__", None) or "").startswith(("tests.", "conftest")):
            waiting += _used(function)


def _used(function) -> Iterator[object]:
    if isinstance(function, type):
        for member in vars(function).values():
            if isinstance(member, types.FunctionType):
                yield member
        return
    codes = [getattr(function, "__code__", None)]
    while codes:
        code = codes.pop()
        if code is None:
            continue
        used = [function.__globals__[n] for n in code.co_names if n in function.__globals__]
        yield from used
        for module in used:
            if isinstance(module, types.ModuleType) and module.__name__.startswith("tests."):
                yield from (vars(module)[n] for n in code.co_names if n in vars(module))
        codes += [each for each in code.co_consts if isinstance(each, types.CodeType)]
