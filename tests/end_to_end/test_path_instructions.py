"""The program that counts instructions, over stand-ins for valgrind, which takes minutes."""

import json
import subprocess
import sys

import pytest

from tests.support.processes import ROOT, clean_environ

LIMIT_S = 200
REQUESTS = 64
TOTAL = 6_400_000
STAND_INS = {
    # It has counted before the server starts.
    "valgrind": f"""
for option in "$@"; do
  case $option in
    --callgrind-out-file=*) printf 'events: Ir\\ntotals: {TOTAL}\\n' >"${{option#*=}}.1"; shift ;;
    --*) shift ;;
    *) break ;;
  esac
done
exec "$@"
""",
    "callgrind_control": 'echo "$@" >>"$SAID"',
    "callgrind_annotate": r"""cat <<'END'
 9,999,999 (99.0%)  < file.c:uv_run (64x) [/lib/loop.so]
12,345,678 (99.9%)  * Python/ceval.c:_PyEval_EvalFrameDefault'2 [/lib/libpython3.11.so]
 9,000,000 (80.0%)  >   Objects/call.c:PyObject_Vectorcall (640x) [/lib/libpython3.11.so]
   640,000 ( 5.0%)  >   Modules/_sre.c:pattern_findall (64x) [/lib/libpython3.11.so]
    64,000 ( 0.5%)  >   Modules/_sre.c:pattern_search'2 (128x) [/lib/libpython3.11.so]

   800,000 ( 9.9%)  * Modules/_sre.c:pattern_findall [/lib/libpython3.11.so]
   700,000 ( 9.0%)  >   Modules/_sre.c:match (9,999x) [/lib/libpython3.11.so]
END
""",
}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """What it printed, and what it said to callgrind."""
    folder = tmp_path_factory.mktemp("stand-ins")
    said = folder / "said"
    for name, script in STAND_INS.items():
        (folder / name).write_text(f"#!/bin/bash\n{script}\n")
        (folder / name).chmod(0o755)
    environ = clean_environ()
    environ |= {"PATH": f"{folder}:{environ['PATH']}", "PYTHONPATH": str(ROOT), "SAID": str(said)}
    printed = subprocess.run(
        [
            sys.executable, "-m", "tests.benchmarks.path_instructions",
            "--requests", str(REQUESTS), "--calls", "3",
        ],
        cwd=ROOT, env=environ, capture_output=True, text=True, check=True, timeout=LIMIT_S,
    ).stdout.splitlines()  # fmt: skip
    return printed, said.read_text().splitlines()


def test_each_server_has_its_instructions_a_text_and_the_last_line_is_json(run):
    printed, _ = run

    assert printed[0] == "reference       100 thousand instructions a text"
    a_text = TOTAL / REQUESTS
    assert json.loads(printed[-1]) == {
        "reference": a_text, "sizewise": a_text, "everything": a_text,
    }  # fmt: skip


def test_what_python_calls_is_listed_and_not_what_that_calls(run):
    printed, _ = run

    assert printed[1:3] == [
        "    10.0 thousand in  1.00 calls of pattern_findall of libpython3.11.so",
        "     1.0 thousand in  2.00 calls of pattern_search of libpython3.11.so",
    ]
    assert printed[3].startswith("sizewise ")


def test_callgrind_is_told_to_count_and_then_to_write_for_each_server(run):
    _, said = run

    assert [line.split()[0] for line in said] == 3 * ["--instr=on", "--dump"]


def test_without_valgrind_it_says_what_to_install():
    done = subprocess.run(
        [sys.executable, "-m", "tests.benchmarks.path_instructions"], cwd=ROOT,
        env=clean_environ() | {"PATH": "", "PYTHONPATH": str(ROOT)},
        capture_output=True, text=True, check=False, timeout=LIMIT_S,
    )  # fmt: skip

    assert done.returncode == 2
    assert done.stderr == "valgrind is missing: apt-get install valgrind\n"
