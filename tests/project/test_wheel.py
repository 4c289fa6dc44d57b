"""The wheel stands alone: installed by pip into fresh environments, away from the checkout."""

import ast
import contextlib
import csv
import re
import shlex
import shutil
import subprocess
import sys
import zipfile
from importlib.metadata import packages_distributions

import httpx
import pytest

from tests.support.environments import environment, required
from tests.support.processes import ROOT, Running, clean_environ, free_port, wait_until_ready
from tests.support.tiny_models import write_sources
from tests.support.tiny_recipes import TEACHER

pytestmark = pytest.mark.timeout(300)

PROGRAMS = ("serving", "models", "loadtest")
EXTRAS = {  # what is called in an environment without it -> the extra that mends that
    "serve": "cpu",
    "fetch s3://bucket/sentiment --to sentiment": "fetch",
    "classify --input texts.csv --output classified.csv": "cpu",
    "models all": "models",
    "models import folder --family f --variant v --registry r": "models",
    "models report sentiment": "models",
    "models cascade sentiment": "models",
    "loadtest run": "loadtest",
    "loadtest report folder": "loadtest",
    "loadtest recommend --slo-p99-ms 50 --min-accuracy 0.8 --rps 9": "loadtest",
    "loadtest watch http://localhost --model m --variant v": "loadtest",
}
EVERY_HELP = """
import contextlib, io
from argparse import _SubParsersAction
from serving.command import main, parser

def commands(one, words):
    yield words
    for action in one._actions:
        if isinstance(action, _SubParsersAction):
            for name, other in action.choices.items():
                yield from commands(other, [*words, name])

for words in list(commands(parser(), [])):
    shown = io.StringIO()
    try:
        with contextlib.redirect_stdout(shown):
            main([*words, "--help"])
    except SystemExit as end:
        assert end.code == 0, words
    print("sizewise", *words)
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """Built of what git would commit, so that no leftover of the checkout gets in."""
    folder = tmp_path_factory.mktemp("wheel")
    for name in tracked():
        if name.startswith(PROGRAMS) or "/" not in name:
            (folder / "source" / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, folder / "source" / name)
    build = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation"]
    subprocess.run([*build, "--wheel-dir", folder, folder / "source"], check=True)
    (made,) = folder.glob("*.whl")
    return made


def tracked():
    listed = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(listed, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    return [name for name in names.split("\0") if name and (ROOT / name).exists()]


@pytest.fixture(scope="module")
def base(wheel, tmp_path_factory):
    """The `sizewise` of an environment with what every installation has, and no extra."""
    return command(wheel, tmp_path_factory.mktemp("base"), "")


@pytest.fixture(scope="module")
def cpu(wheel, tmp_path_factory):
    return command(wheel, tmp_path_factory.mktemp("cpu"), "cpu")


def command(wheel, folder, *extras):
    python = environment(folder / "environment", wheel, required(requirements(wheel, *extras)))
    return python.with_name("sizewise")


def requirements(wheel, *extras):
    """What the wheel itself says that it requires with an extra."""
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (each for each in archive.namelist() if each.endswith("dist-info/METADATA"))
        metadata = archive.read(name).decode()
    for requirement in re.findall(r"^Requires-Dist: (.*)$", metadata, re.MULTILINE):
        name, _, marker = requirement.partition(";")
        if not marker or any(f'extra == "{extra}"' in marker for extra in extras):
            yield name


def run(sizewise, line, folder, **variables):
    return subprocess.run(
        [sizewise, *shlex.split(line)],
        cwd=folder,
        env=clean_environ() | {"PYTHONDONTWRITEBYTECODE": "1"} | variables,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


def site_files(sizewise):
    (site,) = sizewise.parent.parent.glob("lib/*/site-packages")
    return {path: path.stat().st_mtime_ns for path in site.rglob("*")}


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


def test_flags_beat_variables_also_in_the_http_processes(cpu, tmp_path, tiny_registry):
    wrong = {"SIZEWISE_PORT": "none", "SIZEWISE_REGISTRY": "/nowhere", "SIZEWISE_DEVICE": "cuda"}
    flags = ["--registry", tiny_registry, "--device", "cpu", "--host", "127.0.0.1"]
    with served(cpu, tmp_path, *flags, **wrong, SIZEWISE_HTTP_PROCESSES="1") as server:
        answer = server.classify({"texts": ["good film"]}).json()

        assert answer["model"] == "tone"


@contextlib.contextmanager
def served(sizewise, folder, *flags, **variables):
    port, log_path = free_port(), folder / "log"
    with log_path.open("w") as log:
        process = subprocess.Popen(
            [sizewise, "serve", "--port", str(port), *flags],
            cwd=folder,
            env=clean_environ() | {"PYTHONDONTWRITEBYTECODE": "1"} | variables,
            stdout=log,
            stderr=log,
        )
    server = Running(process, f"http://127.0.0.1:{port}", log_path)
    try:
        wait_until_ready(server)
        yield server
    finally:
        if process.poll() is None:
            server.stop()


def test_it_classifies_a_file_with_the_shipped_family(cpu, tmp_path):
    (tmp_path / "texts.csv").write_text("text\nAn absolute delight.\nDull and far too long.\n")
    before = site_files(cpu)

    done = run(cpu, "classify --input texts.csv --output classified.csv --device cpu", tmp_path)

    assert done.returncode == 0, done.stderr
    rows = list(csv.DictReader((tmp_path / "classified.csv").read_text().splitlines()))
    assert [row["label"] for row in rows] == ["positive", "negative"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["classified.csv", "texts.csv"]
    assert site_files(cpu) == before


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("serve --port http", "sizewise cannot start: --port: "),
        ("serve --port 0", "sizewise cannot start: --port: "),
        ("serve --device tpu", "sizewise cannot start: --device: "),
        ("classify --input a.csv --output b.csv --device tpu", "cannot classify: --device: "),
    ],
)
def test_a_wrong_flag_is_one_sentence_that_names_it_and_status_2(cpu, tmp_path, line, said):
    done = run(cpu, line, tmp_path)

    assert done.returncode == 2
    assert said in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_every_help_works_without_any_extra(base, tmp_path):
    done = subprocess.run(
        [base.with_name("python"), "-c", EVERY_HELP],
        cwd=tmp_path, env=clean_environ(), capture_output=True, text=True, check=False,
    )  # fmt: skip

    assert done.returncode == 0, done.stderr
    shown = {line.removeprefix("sizewise").strip() for line in done.stdout.splitlines()}
    assert {"", "serve", "fetch", "classify", "key", "models", "models all", "loadtest"} <= shown
    assert {"models cascade", "loadtest run", "loadtest simulate-scaling"} <= shown


@pytest.mark.parametrize("program", PROGRAMS)
def test_python_m_runs_the_same_programs(base, tmp_path, program):
    done = subprocess.run(
        [base.with_name("python"), "-m", program, "--help"],
        cwd=tmp_path, env=clean_environ(), capture_output=True, text=True, check=False,
    )  # fmt: skip

    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(f"usage: python -m {program} ")
    assert "exit status:" in done.stdout


def test_models_writes_into_the_working_folder_alone(wheel, tmp_path):
    site, working = tmp_path / "site", tmp_path / "working"
    working.mkdir()
    install = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index"]
    subprocess.run([*install, "--target", site, wheel], check=True)
    sources = write_sources(working / "recipes")
    recipe = TEACHER.replace("fetched:", "").replace("epochs = 12", "epochs = 1")
    (sources / "teacher.toml").write_text(recipe)
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


def test_without_a_command_it_shows_its_help_and_exits_with_2(base, tmp_path):
    done = run(base, "", tmp_path)

    assert done.returncode == 2
    assert done.stderr.startswith("usage: sizewise ")
    assert "sizewise COMMAND --help" in done.stderr


@pytest.mark.parametrize("line", EXTRAS)
def test_a_missing_extra_is_one_sentence_with_the_command_that_mends_it(base, tmp_path, line):
    (tmp_path / "texts.csv").write_text("text\nAn absolute delight.\n")

    done = run(base, line, tmp_path)

    assert done.returncode == 2, done.stderr
    assert f"pip install 'sizewise[{EXTRAS[line]}]'" in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["texts.csv"], "nothing is left behind"


@pytest.mark.parametrize(
    ("line", "variables", "extra"),
    [
        ("classify --input a.parquet --output b.parquet", {}, "offline"),
        ("serve", {"SIZEWISE_GRPC_PORT": "9001"}, "grpc"),
        ("serve", {"SIZEWISE_TRACE_ENDPOINT": "http://localhost:4318"}, "tracing"),
    ],
)
def test_what_a_setting_or_a_format_needs_is_named_as_well(cpu, tmp_path, line, variables, extra):
    (tmp_path / "a.parquet").write_bytes(b"PAR1")

    done = run(cpu, line, tmp_path, SIZEWISE_PORT=str(free_port()), **variables)

    assert done.returncode == 2, done.stderr
    assert all(variable in done.stderr for variable in variables)
    assert f"pip install 'sizewise[{extra}]'" in done.stderr
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize(
    ("typed", "offered"),
    [
        ("sizewise ", {"serve", "fetch", "classify", "key", "models", "loadtest"}),
        ("sizewise serve --p", {"--port"}),
        ("sizewise serve --device ", {"cpu", "cuda"}),
        ("sizewise models r", {"report"}),
        ("sizewise models cascade sentiment --loss ", {"agreement", "accuracy"}),
        ("sizewise loadtest run q", {"quick.toml"}),
        ("sizewise fetch hf://x --to fo", {"folder"}),
        ("sizewise serve --registry fo", {"folder"}),
    ],
)
def test_bash_completes_commands_flags_values_and_files(base, tmp_path, typed, offered):
    (tmp_path / "quick.toml").touch()
    (tmp_path / "folder").mkdir()
    program = f"""
        source <({base} --print-completion bash) || exit 1
        COMP_LINE={shlex.quote(typed)} COMP_POINT={len(typed)} COMP_TYPE=9
        read -ra COMP_WORDS <<< "$COMP_LINE"
        [[ $COMP_LINE == *' ' ]] && COMP_WORDS+=('')
        COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1))
        function=$(complete -p sizewise | sed 's/.*-F \\([^ ]*\\) .*/\\1/')
        $function sizewise "${{COMP_WORDS[COMP_CWORD]}}" "${{COMP_WORDS[COMP_CWORD - 1]}}"
        printf '%s\\n' "${{COMPREPLY[@]}}"
    """

    done = subprocess.run(
        ["bash", "--norc", "-c", program],
        cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip

    assert done.returncode == 0, done.stderr
    assert offered <= set(done.stdout.split())
    assert len(done.stdout.split()) <= len(offered) + 1, "what was typed narrows it"
