"""The `sizewise` command as the wheel installs it: help, errors, flags and completion."""

import shlex
import signal
import subprocess
import time

import psutil
import pytest

from tests.support.environments import PROGRAMS, run, served
from tests.support.processes import clean_environ, free_port

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


def test_flags_beat_variables_also_in_the_http_processes(cpu, tmp_path, tiny_registry):
    wrong = {"SIZEWISE_PORT": "none", "SIZEWISE_REGISTRY": "/nowhere", "SIZEWISE_DEVICE": "cuda"}
    flags = ["--registry", tiny_registry, "--device", "cpu", "--host", "127.0.0.1"]
    with served(cpu, tmp_path, *flags, **wrong, SIZEWISE_HTTP_PROCESSES="1") as server:
        answer = server.classify({"texts": ["good film"]}).json()

        assert answer["model"] == "tone"


def test_the_http_processes_import_nothing_that_lies_in_the_working_folder(cpu, tmp_path):
    for name in ("random.py", "serving/__init__.py", "models/__init__.py"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("raise SystemExit('the wrong module')")

    with served(cpu, tmp_path, "--device", "cpu", SIZEWISE_HTTP_PROCESSES="1") as server:
        assert server.classify({"texts": ["An absolute delight."]}).status_code == 200
        assert "the wrong module" not in server.log()


@pytest.mark.parametrize("cpu_s", [0.3, 0.6, 0.9])
def test_ctrl_c_during_the_start_ends_it_without_a_traceback(cpu, tmp_path, cpu_s):
    with (tmp_path / "log").open("w") as log:
        starting = subprocess.Popen(
            [cpu, "serve", "--port", str(free_port())],
            cwd=tmp_path, env=clean_environ(), stdout=log, stderr=log,
        )  # fmt: skip
        process = psutil.Process(starting.pid)
        while starting.poll() is None and sum(process.cpu_times()[:2]) < cpu_s:
            time.sleep(0.01)
        starting.send_signal(signal.SIGINT)

        assert starting.wait(30) in {-signal.SIGINT, 0}
    assert "Traceback" not in (tmp_path / "log").read_text()


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("serve --port http", "sizewise cannot start: --port: "),
        ("serve --port 0", "sizewise cannot start: --port: "),
        ("serve --device tpu", "sizewise cannot start: --device: "),
        ("serve --host nowhere.invalid", "sizewise cannot start: --host, SIZEWISE_PORT: nowhere"),
        (b"serve --host \xff".decode(errors="surrogateescape"), "cannot start: --host, "),
        ("classify --input a.csv --output b.csv --registry none", "cannot classify: --registry: "),
        ("classify --input a.csv --output b.csv --device tpu", "cannot classify: --device: "),
    ],
)
def test_a_wrong_flag_is_one_sentence_that_names_it_and_status_2(cpu, tmp_path, line, said):
    (tmp_path / "a.csv").write_text("text\ngood\n")

    done = run(cpu, line, tmp_path)

    assert done.returncode == 2
    assert said in done.stderr
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("fetch url --to folder --every-s often", "often must be a number from 1 to 86,400"),
        ("loadtest recommend --slo-p99-ms fast", "fast must be a number above 0"),
        ("loadtest recommend --min-accuracy nan", "nan must be a number from 0 to below 1"),
    ],
)
def test_a_flag_that_takes_a_number_says_which_numbers(base, tmp_path, line, said):
    done = run(base, line, tmp_path)

    assert done.returncode == 2
    assert done.stderr.endswith(f": {said}\n")


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
