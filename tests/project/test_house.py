"""The shape of the house: what each package may import, and how large its files are."""

import ast
import re
import subprocess
import sys

import pytest

from tests.project.imports import PROGRAMS, ROOT, SOURCES, circle, imports, module_graph

MAX_FILE_LINES = 300
MAX_FUNCTION_LINES = 60
VAGUE_NAMES = {
    "utils", "util", "common", "helpers", "base", "core", "manager", "handler", "impl", "misc",
}  # fmt: skip

# What each package may import of its own program, besides the program's root modules.
PACKAGES = {
    "serving": {
        "bundles": set(),
        "access": {"bundles"},
        "inference": {"bundles"},
        "batching": {"bundles", "inference"},
        "variants": {"bundles", "inference", "batching"},
        "feedback": {"bundles", "inference", "variants"},
        "observability": {"bundles", "inference", "batching", "variants", "feedback"},
        "offline": {"bundles", "inference", "variants"},
        "runtime": {
            "bundles", "access", "inference", "batching", "variants", "observability", "feedback",
        },
        "protocols": {
            "bundles", "access", "inference", "batching", "variants", "observability", "feedback",
            "runtime",
        },
        "playground": set(),
        "server": {"inference", "observability", "runtime", "protocols", "playground"},
    },
    "models": {
        "data": set(),
        "perturbations": set(),
        "training": {"data", "perturbations"},
        "evaluation": {"data"},
        "graphs": {"data", "training", "evaluation"},
        "reports": {"data", "perturbations", "evaluation"},
        "cascade": {"data", "evaluation", "reports"},
        "decisions": {"data", "evaluation", "reports", "cascade"},
        "published": {"data", "evaluation", "graphs", "reports"},
        "robustness": {"data", "perturbations", "evaluation", "reports", "cascade", "published"},
        "group_report": {
            "data", "perturbations", "evaluation", "reports", "cascade", "published", "robustness",
        },
        "monitoring": {"data", "evaluation", "reports", "published"},
        "retraining": {
            "data", "evaluation", "reports", "cascade", "decisions", "published", "monitoring",
        },
        "compression": {
            "data", "training", "evaluation", "graphs", "reports", "cascade", "published",
        },
        "stages": {
            "data", "training", "evaluation", "graphs", "reports", "group_report", "robustness",
        },
    },
    "loadtest": {
        "analysis": set(),
        "measure": {"analysis"},
        "report": {"analysis", "measure"},
        "sizing": {"analysis", "measure", "report"},
    },
}  # fmt: skip
# The modules at a program's root that packages may import.
ROOT_MODULES = {
    "serving": {
        "background", "settings", "ext_proc_settings", "feedback_settings", "settings_help",
        "descriptors", "errors", "extras", "interrupts", "large_work", "line_writer", "logs",
        "process_exit", "shortage", "shortening",
    },
    "models": {"recipe", "recipe_sections", "job", "library_errors", "next_command", "progress"},
    "loadtest": {"scenario", "samples", "progress"},
}  # fmt: skip
# The modules at a program's root that run its commands, and import what they need for that.
COMMANDS = {"__main__", "arguments", "commands", "compress", "decide", "groups", "live", "publish"}
COMMANDS |= {"refresh", "signing", "steps", "stress", "windows"}
# What no module imports: the pipeline is handed the stages (models/runners.py).
STAGES = "models.stages."
# What a program may import of another.
OTHER_PROGRAMS = {
    "serving": {},
    "models": {"serving": {"bundles", "inference", "errors", "feedback"}},
    "loadtest": {},
}
# Heavy libraries and the only places that import them.
HOMES = {
    "fastapi": {"serving.protocols", "serving.server"},
    "grpc": {
        "serving.protocols.grpc", "serving.protocols.open_inference.grpc",
        "serving.protocols.ext_proc.conversation", "serving.protocols.ext_proc.processor",
    },
    "prometheus_client": {"serving.observability.metrics", "serving.observability.metric_kinds"},
    "opentelemetry": {"serving.observability.tracing"},
    "onnxruntime": {"serving.inference.ort_engine", "models"},
    "openvino": {"serving.inference.openvino_engine", "models.graphs"},
    "tokenizers": {"serving.inference.tokenizer", "models.training.vocabulary"},
    "uvicorn": {
        f"serving.server.{name}"
        for name in (
            "http_server", "connection", "connection_limits", "http_cycle", "http_protocol",
            "inference_protocol", "pipelined",
        )
    },
    "fsspec": {"serving.bundles.store", "serving.feedback.log_files"},
    "cryptography": {"serving.bundles.signatures", "serving.feedback.log_files"},
    "sklearn": {"models.evaluation.baselines"},
    "torch": {"models"},
    "transformers": {"models"},
    "locust": {"loadtest.measure.locustfile"},
}  # fmt: skip
PURE = {
    "serving.batching.scheduler", "serving.batching.queue", "serving.batching.admission",
    "serving.variants.selection", "serving.variants.brownout", "serving.observability.drift",
}  # fmt: skip
NOT_PURE = {"time", "asyncio", "random", "os", "threading", "numpy"}
WITHOUT_A_CLOCK = {
    "serving.batching.batcher", "serving.variants.classifier", "serving.variants.family",
}  # fmt: skip


def faults(module, source):
    """What a module imports and may not, in words."""
    program, package = (*module.split("."), "")[:2]
    is_package = package in PACKAGES[program]
    for imported in imports(source):
        top, part = (*imported.split("."), "")[:2]
        if any(imported == home or imported.startswith(home + ".") for home in HOMES):
            homes = HOMES[top]
            if not any(module == home or module.startswith(home + ".") for home in homes):
                yield f"{module} imports {imported}, whose home is {sorted(homes)}"
        if top not in PROGRAMS:
            continue
        if f"{imported}.".startswith(STAGES):
            yield f"{module} imports {imported}, which only runners.py loads"
            continue
        if top != program:
            allowed = OTHER_PROGRAMS[program].get(top, set())
        elif is_package:
            allowed = PACKAGES[program][package] | ROOT_MODULES[program] | {package}
        elif package in COMMANDS:
            continue
        else:
            allowed = ROOT_MODULES[program] | {"data", "perturbations", "source_hashes"}
        if part and part not in allowed:
            yield f"{module} imports {imported}"


def functions(source):
    for node in ast.walk(ast.parse(source)):
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


def test_the_table_names_exactly_the_packages_that_exist():
    for program, packages in PACKAGES.items():
        found = {path.parent.name for path in (ROOT / program).glob("*/__init__.py")}

        assert found == set(packages)


def test_the_table_has_no_circle_and_each_package_imports_only_those_above_it():
    for packages in PACKAGES.values():
        assert circle(packages) is None
        names = list(packages)
        for name, allowed in packages.items():
            assert allowed <= set(names[: names.index(name)])


@pytest.mark.parametrize("module", SOURCES)
def test_a_module_imports_only_what_its_package_may(module):
    assert list(faults(module, SOURCES[module].read_text())) == []


def test_no_other_module_loads_a_stage_by_its_name():
    loading = {
        module
        for module, path in SOURCES.items()
        if module.startswith("models.") and "importlib" in imports(path.read_text())
    }

    assert loading <= {"models.__main__", "models.runners"}


def test_no_modules_import_each_other_in_a_circle():
    assert circle(module_graph()) is None


@pytest.mark.parametrize("module", sorted(PURE))
def test_a_decision_is_pure(module):
    tops = {name.split(".")[0] for name in imports(SOURCES[module].read_text())}

    assert not tops & NOT_PURE


@pytest.mark.parametrize("module", sorted(WITHOUT_A_CLOCK))
def test_a_runner_is_handed_its_clock(module):
    tops = {name.split(".")[0] for name in imports(SOURCES[module].read_text())}

    assert not tops & {"time", "os"}


@pytest.mark.parametrize("module", SOURCES)
def test_files_and_functions_stay_small_and_say_what_they_are(module):
    source = SOURCES[module].read_text()

    assert len(source.splitlines()) <= MAX_FILE_LINES
    assert ast.get_docstring(ast.parse(source)), "the module has no docstring"
    for node in public(ast.parse(source)):
        assert ast.get_docstring(node), f"{node.name} has no docstring"
    for node in functions(source):
        lines = node.end_lineno - node.lineno + 1
        assert lines <= MAX_FUNCTION_LINES, f"{node.name} has {lines} lines"


@pytest.mark.parametrize(
    "package", [name for name, path in SOURCES.items() if path.name == "__init__.py"]
)
def test_a_package_says_what_it_is_and_where_to_start_reading(package):
    path = SOURCES[package]
    docstring = ast.get_docstring(ast.parse(path.read_text()))
    named = re.findall(r"\b([\w/]+\.py)\b", docstring)

    assert 3 <= len(docstring.splitlines()) <= 10
    assert named
    assert all((path.parent / name).is_file() for name in named)
    assert ast.parse(path.read_text()).body[1:] == [], "a package holds nothing but its docstring"


def test_files_are_named_in_the_words_of_the_field():
    assert {path.stem for path in SOURCES.values()} & VAGUE_NAMES == set()


def test_serving_starts_without_torch_models_or_loadtest():
    program = (
        "import sys, serving.server.launch, serving.__main__; "
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


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("serving.bundles.registry", "from serving.inference.engine import Engine"),
        ("serving.batching.scheduler", "from serving.runtime.service import Service"),
        ("serving.protocols.native", "from serving.server.app import App"),
        ("serving.offline.job", "from serving.runtime import local"),
        ("serving.variants.family", "import models.recipe"),
        ("models.training.loop", "from models.stages.train import run"),
        ("models.stages.package", "from models.stages import evaluate"),
        ("models.pipeline", "from models.stages.data import run"),
        ("models.stages.prune", "from models.pipeline import Pipeline"),
        ("models.graphs.trace", "from loadtest.scenario import Scenario"),
        ("models.evaluation.predictions", "from serving.protocols import native"),
        ("loadtest.analysis.summary", "from loadtest.report.build import build"),
        ("serving.batching.batcher", "import onnxruntime"),
        ("serving.protocols.native", "import uvicorn"),
        ("loadtest.measure.server", "from serving.settings import Settings"),
    ],
)
def test_a_wrong_import_is_found(module, source):
    assert list(faults(module, source)) != []
