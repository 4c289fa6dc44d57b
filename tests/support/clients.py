"""Programs of the peers' own client libraries, which live in a virtual environment of their own.

Their dependencies contradict ours; `make test` installs them from tests/support/clients.txt.
"""

import json
import subprocess

from tests.support.processes import ROOT

PYTHON = ROOT / ".venv-clients" / "bin" / "python"
PROGRAMS = ROOT / "tests" / "support" / "client_programs"


def ask(program, *arguments):
    """What tests/client_programs/<program>.py prints, a JSON value."""
    assert PYTHON.exists(), "run `make test`: it installs the client libraries"
    done = subprocess.run(
        [PYTHON, PROGRAMS / f"{program}.py", *map(str, arguments)],
        capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])
