"""An engine that hangs while it is warmed up: the process still ends, and says what it left."""

import contextlib

import pytest

from tests.support.processes import serving
from tests.support.registries import wait_for

SECONDS = 60


@contextlib.contextmanager
def hung(registry, folder, **settings):
    """A server whose engine hangs in warm-up."""
    hold = folder / "hold"
    hold.touch()
    program = {"program": "tests.support.slow_serving", "environ": {"SLOW_HOLD": str(hold)}}
    with serving(registry, wait_ready=False, **program, **settings) as server:
        wait_for((folder / "hold.held").exists, SECONDS)
        yield server


@pytest.mark.parametrize("http_processes", [0, 1])
def test_sigterm_ends_a_server_whose_engine_hangs_in_warm_up(
    tiny_registry, tmp_path, http_processes
):
    settings = {"http_processes": http_processes, "shutdown_delay_ms": 0, "drain_ms": 500}
    with hung(tiny_registry, tmp_path, **settings) as server:
        assert server.stop() == 0
        assert '"event":"left unfinished","work":"loading ' in server.log()


def test_a_server_whose_engine_hangs_in_warm_up_ends_after_the_time_to_load(
    tiny_registry, tmp_path
):
    with hung(tiny_registry, tmp_path, load_timeout_ms=1000) as server:
        assert server.process.wait(SECONDS) != 0
        assert "took over 1 s (SIZEWISE_LOAD_TIMEOUT_MS)" in server.log()
