"""What the tests of programs that measure, and of pages, share."""

import shlex
import shutil
import sys

import pytest

from tests.support.browser import browser
from tests.support.processes import ROOT, clean_environ


@pytest.fixture(scope="session")
def environ(tmp_path_factory):
    """The environment of a program that finds a wrk: a stand-in where the package is missing."""
    found = clean_environ() | {"PYTHONPATH": str(ROOT)}
    if shutil.which("wrk"):
        return found
    stand_in = tmp_path_factory.mktemp("bin") / "wrk"
    command = shlex.join([sys.executable, "-m", "tests.support.stand_in_wrk"])
    stand_in.write_text(f'#!/bin/sh\nexec {command} "$@"\n')
    stand_in.chmod(0o755)
    return found | {"PATH": f"{stand_in.parent}:{found['PATH']}"}


@pytest.fixture(scope="module")
def window():
    """A window of Chromium."""
    with browser() as found:
        yield found
