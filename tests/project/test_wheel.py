"""The wheel stands alone: installed by pip into fresh environments, away from the checkout."""

import ast
import csv
import re
import subprocess
import sys
import zipfile
from importlib.metadata import packages_distributions

import httpx
import pytest

from tests.support.environments import (
    PROGRAMS,
    QUIET,
    required,
    requirements,
    run,
    served,
    site_files,
    tracked,
)
from tests.support.processes import ROOT, clean_environ
from tests.support.tiny_models import write_sources
from tests.support.tiny_recipes import TEACHER


def imported(program):
    """The packages that a program's modules import, wherever in them."""
    for path in (ROOT / program).rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                yield from (alias.name.partition(".")[0] for alias in node.names)
            elif isinstance(node, ast.ImportFrom):
                yield node.module.partition(".")[0]


def test_the_wheel_holds_the_programs_with_their_data_and_the_licence_and_nothing_else(wheel):
    sources = {name for name in tracked() if name.split("/")[0] in PROGRAMS}
    with zipfile.ZipFile(wheel) as archive:
        held = {name for name in archive.namelist() if ".dist-info/" not in name}
        about = {name.split(".dist-info/")[1] for name in set(archive.namelist()) - held}

    assert held == sources
    assert {"licenses/LICENSE", "licenses/NOTICE", "entry_points.txt"} <= about
    assert {
        "models/registry/sentiment/small-int8/model.onnx",
        "models/recipes/sentiment/teacher-fp32.toml",
        "loadtest/scenarios/default.toml",
        "loadtest/traces/flash-crowd.csv",
    } <= held


@pytest.mark.parametrize(
    ("program", "extras"),
    [
        ("serving", ["cpu", "fetch", "grpc", "offline", "tracing"]),
        ("models", ["models"]),
        ("loadtest", ["loadtest"]),
    ],
)
def test_the_extras_of_a_program_install_all_that_it_imports(wheel, program, extras):
    from_outside = set(imported(program)) - set(sys.stdlib_module_names) - set(PROGRAMS)
    installed = set(required(requirements(wheel, *extras)))
    homes = packages_distributions()

    lacking = {name for name in from_outside if not installed & set(map(str.lower, homes[name]))}
    assert lacking == set()


def test_it_serves_the_shipped_family_and_the_pages_of_its_api(cpu, tmp_path):
    before = site_files(cpu)
    with served(cpu, tmp_path) as server:
        (result,) = server.classify({"texts": ["An absolute delight."]}).json()["results"]
        page = httpx.get(f"{server.url}/docs").text
        assets = re.findall(r'(?:src|href)="(/[^"]+)"', page)

        assert result["label"] == "positive"
        assert len(assets) >= 2
        assert {httpx.get(server.url + asset).status_code for asset in assets} == {200}
        assert server.stop() == 0
    assert site_files(cpu) == before


def test_it_classifies_a_file_with_the_shipped_family(cpu, tmp_path):
    (tmp_path / "texts.csv").write_text("text\nAn absolute delight.\nDull and far too long.\n")
    before = site_files(cpu)

    done = run(cpu, "classify --input texts.csv --output classified.csv --device cpu", tmp_path)

    assert done.returncode == 0, done.stderr
    rows = list(csv.DictReader((tmp_path / "classified.csv").read_text().splitlines()))
    assert [row["label"] for row in rows] == ["positive", "negative"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["classified.csv", "texts.csv"]
    assert site_files(cpu) == before


def test_models_writes_into_the_working_folder_alone(wheel, tmp_path):
    site, working = tmp_path / "site", tmp_path / "working"
    working.mkdir()
    install = [sys.executable, "-m", "pip", "install", *QUIET, "--no-deps", "--no-index"]
    subprocess.run([*install, "--target", site, wheel], check=True)
    sources = write_sources(working / "recipes")
    recipe = TEACHER.replace("fetched:", "").replace("epochs = 12", "epochs = 1")
    hurried = "[evaluate]\nallow_below_baseline = true\n"
    (sources / "teacher.toml").write_text(f"{recipe}\n{hurried}")
    before = set(site.rglob("*"))

    done = subprocess.run(
        [sys.executable, "-m", "serving.command", "models", "all", "recipes"],
        cwd=working,
        env=clean_environ() | {"PYTHONPATH": str(site), "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True, text=True, check=False,
    )  # fmt: skip

    assert done.returncode == 0, done.stderr
    assert "Next: sizewise serve --registry build/registry\n" in done.stdout
    assert sorted(path.name for path in working.iterdir()) == ["build", "recipes"]
    assert set(site.rglob("*")) == before
