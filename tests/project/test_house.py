"""The shape of the house: floors, sizes, docstrings, names. See ARCHITECTURE.md."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SOURCES = sorted(p for top in ("serving", "models", "loadtest") for p in (ROOT / top).rglob("*.py"))
MAX_FILE_LINES = 300
MAX_FUNCTION_LINES = 60
BANNED_NAMES = {
    "utils", "util", "common", "helpers", "base", "core", "manager", "handler", "impl", "misc",
}  # fmt: skip

# serving's floors, lowest first; a module imports only from floors below its own.
FLOORS = [
    {
        "errors",
        "cores",
        "cost_model",
        "interrupt",
        "layout",
        "link",
        "logs",
        "progress",
        "scores",
        "brownout",
        "drift",
    },
    {"waiting"},
    {"bundle", "settings", "scheduler", "limits"},
    {"cascade"},
    {"deployment", "callers"},
    {"listener"},
    {"inputs"},
    {"schemas", "registry", "tokenizer", "tables"},
    {"engine", "fetch"},
    {"signature", "sharing"},
    {"ort_engine", "openvino_engine", "lone", "warmup", "batcher"},
    {"engines"},
    {"classifier"},
    {"bulk"},
    {"unseen", "ladder"},
    {"family"},
    {"metrics"},
    {"runtime"},
    {"local_runtime"},
    {"remote", "service", "catalogue"},
    {"body"},
    {"asking"},
    {"v2_tensors"},
    {"v2", "v2_messages"},
    {"routes", "routes_classify", "routes_huggingface", "routes_tei", "routes_v2", "tracing"},
    {"app", "admin"},
    {"grpc_v2"},
    {"server"},
    {"front", "offline"},
    {"processes"},
    {"launch"},
    {"__main__"},
]
MODELS_MAY_IMPORT = {
    "bundle", "registry", "tokenizer", "inputs", "engine", "signature", "engines", "ort_engine",
    "errors", "cascade",
}  # fmt: skip
ONE_HOME = {
    "fastapi": {
        "admin",
        "app",
        "asking",
        "routes",
        "routes_classify",
        "routes_huggingface",
        "routes_tei",
        "routes_v2",
        "body",
        "server",
        "schemas",
    },
    "prometheus_client": {"metrics"},
    "onnxruntime": {"ort_engine"},
    "openvino": {"openvino_engine"},
    "tokenizers": {"tokenizer"},
    "uvicorn": {"server"},
    "fsspec": {"fetch"},
    "opentelemetry": {"tracing"},
}
CLOCKS_AND_GLOBALS = {
    "scheduler": {"time", "asyncio", "numpy", "os"},
    "batcher": {"time", "os"},
    "classifier": {"time", "os"},
    "family": {"time", "os"},
    "ladder": {"time", "asyncio", "random", "os"},
    "brownout": {"time", "asyncio", "random", "os"},
    "drift": {"time", "asyncio", "random", "os"},
}


def imports(path):
    tree = ast.parse(path.read_text())
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def functions(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def public(node):
    """The public functions, classes and methods of a module."""
    for child in node.body:
        kinds = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef
        if isinstance(child, kinds) and not child.name.startswith("_"):
            yield child
            if isinstance(child, ast.ClassDef):
                yield from public(child)


def serving_parts(path):
    return {m.split(".")[1] for m in imports(path) if m.startswith("serving.")}


def test_every_module_of_serving_has_its_floor():
    modules = {p.stem for p in (ROOT / "serving").glob("*.py")} - {"__init__"}

    assert modules == set().union(*FLOORS)
    assert sum(map(len, FLOORS)) == len(modules)


def test_imports_inside_serving_only_go_down():
    floor = {module: number for number, modules in enumerate(FLOORS) for module in modules}

    upward = [
        f"{path.stem} imports {part}"
        for path in (ROOT / "serving").glob("*.py")
        for part in serving_parts(path)
        if floor[part] >= floor[path.stem]
    ]
    assert upward == []


def test_the_three_parts_keep_their_distance():
    for path in SOURCES:
        tops = {module.split(".")[0] for module in imports(path)}
        part = path.relative_to(ROOT).parts[0]
        if part == "serving":
            assert not tops & {"torch", "transformers", "models", "loadtest"}, path
        elif part == "models":
            assert "loadtest" not in tops, path
            assert serving_parts(path) <= MODELS_MAY_IMPORT, path
        else:
            assert not tops & {"serving", "models", "torch", "transformers"}, path


def test_each_heavy_library_has_one_home_in_serving():
    for path in (ROOT / "serving").glob("*.py"):
        for module in imports(path):
            home = ONE_HOME.get(module.split(".")[0])
            assert home is None or path.stem in home, f"{path.stem} imports {module}"


@pytest.mark.parametrize("module", CLOCKS_AND_GLOBALS)
def test_decisions_read_no_clock_and_no_environment(module):
    tops = {m.split(".")[0] for m in imports(ROOT / "serving" / f"{module}.py")}

    assert not tops & CLOCKS_AND_GLOBALS[module]


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: str(p.relative_to(ROOT)))
def test_files_and_functions_stay_small_and_say_what_they_are(path):
    text = path.read_text()
    docstring = ast.get_docstring(ast.parse(text)) or ""

    assert len(text.splitlines()) <= MAX_FILE_LINES
    assert docstring, "the module has no docstring"
    assert re.search(r"\b(not|never|nothing|nor)\b", docstring), (
        "it does not say what it does not know"
    )
    for node in public(ast.parse(text)):
        assert ast.get_docstring(node), f"{node.name} has no docstring"
    for node in functions(path):
        lines = node.end_lineno - node.lineno + 1
        assert lines <= MAX_FUNCTION_LINES, f"{node.name} has {lines} lines"


def test_files_are_named_by_nouns_and_verbs_of_the_field():
    assert {p.stem for p in SOURCES} & BANNED_NAMES == set()


def test_serving_starts_without_torch_models_or_loadtest():
    program = (
        "import sys, serving.launch, serving.__main__; "
        "print(*{m.split('.')[0] for m in sys.modules})"
    )

    loaded = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.split()

    assert not set(loaded) & {"torch", "transformers", "models", "loadtest", "scipy", "locust"}


def test_no_file_names_this_or_another_machine():
    tracked = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.split("\0")
    banned = re.compile(
        r"/(work|home|root)/[a-z]|py" + r"pi\.org|deb" + r"ian\.org|npm" + "js", re.IGNORECASE
    )
    for name in filter(None, tracked):
        path = ROOT / name
        if path.suffix in {".onnx", ".png", ".parquet"} or not path.is_file():
            continue
        found = banned.search(path.read_text(errors="replace"))
        assert not found, f"{name} names {found.group()}"
