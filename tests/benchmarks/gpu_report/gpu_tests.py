"""The tests that need a CUDA device, and what came of each; the last line is JSON.

Only the files that hold such a test are collected: the others need packages that a GPU host need
not have.
"""

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from xml.etree import ElementTree as ET

from loadtest.measure.subprocesses import exit_on_sigterm
from tests.support.processes import ROOT

MARK = "pytest.mark.gpu"


def files():
    return sorted(
        str(path.relative_to(ROOT))
        for path in (ROOT / "tests").rglob("test_*.py")
        if MARK in path.read_text()
    )


def outcomes(report):
    """Passed, failed and skipped tests of a JUnit report, with the reason of each that is not."""
    found = {"passed": 0, "failed": {}, "skipped": {}}
    for case in ET.parse(report).iter("testcase"):
        told = {child.tag: child.get("message", "") for child in case}
        name = f"{case.get('classname')}::{case.get('name')}"
        if bad := told.keys() & {"failure", "error"}:
            found["failed"][name] = told[min(bad)].splitlines()[0][:300]
        elif "skipped" in told:
            found["skipped"][name] = told["skipped"]
        else:
            found["passed"] += 1
    return found


def main():
    exit_on_sigterm()
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.xml"
        command = [
            sys.executable, "-m", "pytest", "-m", "gpu", "-p", "no:cacheprovider",
            f"--junit-xml={report}", *files(),
        ]  # fmt: skip
        status = subprocess.run(command, cwd=ROOT, stdout=sys.stderr, check=False).returncode
        if not report.is_file():
            sys.exit(f"pytest ended with status {status} and no report: see the log")
        print(json.dumps(outcomes(report)))


if __name__ == "__main__":
    main()
