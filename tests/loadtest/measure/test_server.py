"""Servers that a measurement starts, and what it asks them."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from loadtest.measure.server import LoadTestError, request_json, running_server


def test_what_the_server_refuses_is_told_in_its_own_words(url):
    with pytest.raises(LoadTestError, match=r"answered 404: .*/nothing does not exist"):
        request_json(f"{url}/nothing")


@pytest.mark.usefixtures("stand_in")
def test_the_server_is_stopped_even_when_the_measurement_fails(tmp_path):
    with (
        pytest.raises(RuntimeError, match="ours"),
        running_server(Path("registry"), tmp_path / "log") as server,
    ):
        raise RuntimeError("ours")
    with pytest.raises(LoadTestError):
        request_json(f"{server.url}/v1/models")


def test_locust_patches_its_own_process_only():
    code = "import sys, loadtest.__main__; sys.exit('gevent' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], env=os.environ, check=False).returncode == 0
