"""What a user can set, see or be told is documented, and the README's commands are true."""

import itertools
import re
import shlex
import tomllib
from pathlib import Path

import pytest

import serving.errors
from serving.errors import served_errors
from serving.server.launch import READY
from serving.settings import PREFIX, Settings
from tests.support import curl_errors

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()
DEPENDENCIES = (ROOT / "docs" / "development" / "dependencies.md").read_text()


@pytest.mark.parametrize("error", list(served_errors()), ids=lambda e: e.code)
def test_every_error_is_drawn_and_unique(error):
    assert re.search(rf"{error.__name__} +{error.status}  {error.code}\b", serving.errors.__doc__)
    assert [e.code for e in served_errors()].count(error.code) == 1


def test_every_dependency_has_its_line():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    required = [
        *project["dependencies"],
        *itertools.chain(*project["optional-dependencies"].values()),
    ]
    locked = (ROOT / "constraints.txt").read_text().lower().replace("_", "-")
    for name in {re.split(r"[\[=<]", each)[0] for each in required}:
        assert re.search(rf"^- `{name}`: ", DEPENDENCIES, re.MULTILINE), f"{name} has no line"
        if name != "onnxruntime-gpu":
            assert re.search(rf"^{name}==", locked, re.MULTILINE), f"{name} is not locked"


def test_the_map_names_every_package_of_each_program_and_every_make_target():
    for program in ("serving", "models", "loadtest"):
        block = re.search(rf"^{program}/ .*\n((?:  .*\n)+)", README, re.MULTILINE)[1]
        named = re.findall(r"^  (\w+)/ ", block, re.MULTILINE)
        assert sorted(named) == sorted(
            p.parent.name for p in (ROOT / program).glob("*/__init__.py")
        )
    makefile = (ROOT / "Makefile").read_text()
    for target in re.findall(r"^\.PHONY: (.*)$", makefile, re.MULTILINE)[0].split():
        assert f"make {target}" in README


def test_the_readmes_curl_is_the_one_that_the_server_prints():
    printed = READY.format(host="127.0.0.1", port=8000)
    curl = re.search(r"curl -s http\S+/v1/classify.*?'\n", printed, re.DOTALL).group()

    assert shlex.split(curl.replace("\\\n", "")) in [
        shlex.split(block.replace("\\\n", ""))
        for block in re.findall(r"^(curl .*?'\n)", README, re.DOTALL | re.MULTILINE)
    ]


def test_every_setting_has_a_range_or_a_meaning():
    for name, field in Settings.model_fields.items():
        assert field.description, f"{PREFIX}{name.upper()} has no description"


def test_what_curl_prints_for_each_error_is_what_the_page_says():
    assert curl_errors.told() in curl_errors.PAGE.read_text()


def test_the_clients_on_the_page_are_the_ones_that_are_tested():
    page = curl_errors.PAGE.read_text()
    locked = (ROOT / "tests" / "support" / "clients.txt").read_text()
    named = re.findall(r"\| (\w+) (\d[\d.]+) \|", page)
    tests = "".join(path.read_text() for path in (ROOT / "tests").rglob("test_*.py"))

    assert len({package for package, _ in named}) == 6
    for package, version in named:
        assert f"\n{package}=={version}\n" in locked
    for test in re.findall(r"`(test_\w+)`", page):
        assert f"def {test}(" in tests
