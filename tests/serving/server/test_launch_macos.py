"""A server on macOS, as far as Linux can be one: no affinity masks, /proc or socket filters."""

import os
import subprocess
import sys

import httpx
import pytest

from tests.support.processes import ROOT, serving

MACOS = ROOT / "tests" / "support" / "macos"
# Both folders: a path that is set replaces the one of the working folder in child processes.
ENVIRON = {"PYTHONPATH": f"{MACOS}{os.pathsep}{ROOT}"}


def test_the_stand_in_lacks_what_macos_lacks():
    program = (
        "import os, pathlib, sys\n"
        "assert sys.platform == 'darwin' and not hasattr(os, 'sched_getaffinity')\n"
        "assert not pathlib.Path('/proc/self/status').exists()\n"
        "pathlib.Path('/proc/self/statm').read_text()"
    )

    done = subprocess.run(
        [sys.executable, "-c", program],
        env=os.environ | ENVIRON, capture_output=True, text=True, check=False,
    )  # fmt: skip

    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith("FileNotFoundError: [Errno 2] macOS has no")


@pytest.mark.parametrize("http_processes", [0, 1])
def test_a_server_on_macos_loads_answers_and_drains(tiny_registry, http_processes):
    settings = {"http_processes": http_processes, "shutdown_delay_ms": 0}
    with serving(tiny_registry, environ=ENVIRON, **settings) as server:
        results = server.classify({"texts": ["good film", "awful plot"]}).json()["results"]
        models = httpx.get(f"{server.url}/v1/models").json()
        status = server.stop()
        log = server.log()

    assert [result["label"] for result in results] == ["positive", "negative"]
    assert "tone" in str(models)
    assert status == 0
    assert "Traceback" not in log
    assert '"event":"bug"' not in log
