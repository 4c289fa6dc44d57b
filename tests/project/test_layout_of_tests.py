"""Where tests are, how they are named, and how large their files are."""

from pathlib import PurePath

import pytest

from tests.project.imports import PROGRAMS, ROOT, imports

MAX_FILE_LINES = 300
TESTS = sorted((ROOT / "tests").rglob("*.py"))
MIRRORED = [
    path
    for path in TESTS
    if path.name.startswith("test_") and path.relative_to(ROOT).parts[1] in PROGRAMS
]
# Tests that are named for a subject that no one module is the home of.
SUBJECTS = {
    "tests/models/data/test_broken_data.py",
    "tests/models/decisions/test_one_sided.py",
    "tests/models/decisions/test_windows.py",
    "tests/serving/variants/test_decisions_served.py",
}


def of_a_module(path):
    """Whether a test's file is named test_MODULE or test_MODULE_SUBJECT, in the module's place."""
    pure = PurePath(path)
    folder = ROOT / PurePath(*pure.parts[1:-1])
    words = pure.stem.split("_")[1:]
    names = {"_".join(words[: count + 1]) for count in range(len(words))}
    return any((folder / f"{name}.py").is_file() for name in names | {f"__{words[0]}__"})


def mirrors(path):
    """Whether a test's file is a module's, or one of those that are named for a subject."""
    return path in SUBJECTS or of_a_module(path)


def test_no_test_imports_another():
    for path in (ROOT / "tests").rglob("*.py"):
        for module in imports(path.read_text()):
            assert ".test_" not in module, f"{path.name} imports {module}"


def test_helpers_are_no_tests():
    for folder in ("support", "benchmarks"):
        assert list((ROOT / "tests" / folder).rglob("test_*.py")) == []


@pytest.mark.parametrize("path", [str(path.relative_to(ROOT)) for path in MIRRORED])
def test_a_test_is_where_its_subject_is(path):
    assert mirrors(path)


def test_the_subjects_that_are_no_module_have_their_tests():
    assert {path for path in SUBJECTS if not (ROOT / path).is_file()} == set()
    assert {path for path in SUBJECTS if of_a_module(path)} == set()


@pytest.mark.parametrize(
    "path",
    [
        "tests/serving/test_registry.py",
        "tests/serving/batching/test_registry.py",
        "tests/serving/batching/test_regis.py",
        "tests/serving/bundles/test_registry2.py",
        "tests/serving/ladders/test_registry.py",
        "tests/models/bundles/test_registry.py",
    ],
)
def test_a_test_in_the_wrong_place_is_found(path):
    assert not mirrors(path)


@pytest.mark.parametrize("path", TESTS, ids=lambda path: str(path.relative_to(ROOT / "tests")))
def test_tests_helpers_and_programs_stay_small_too(path):
    assert len(path.read_text().splitlines()) <= MAX_FILE_LINES
