"""The tests that need a CUDA device, and what came of each; the last line is JSON."""

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from xml.etree import ElementTree as ET

from loadtest.measure.subprocesses import exit_on_sigterm
from tests.benchmarks.gpu_report.parts import ROOT, gpu_test_files


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
            f"--junit-xml={report}", *map(str, gpu_test_files()),
        ]  # fmt: skip
        status = subprocess.run(command, cwd=ROOT, stdout=sys.stderr, check=False).returncode
        if not report.is_file():
            sys.exit(f"pytest ended with status {status} and no report: see the log")
        print(json.dumps(outcomes(report)))


if __name__ == "__main__":
    main()
