"""What the machine was too short for is tried again, without a change in the registry."""

import asyncio
import os
import shutil
import subprocess
from contextlib import suppress

import psutil
import pytest

from serving.bundles.registry import publish
from serving.runtime import retries
from serving.runtime.local import LocalRuntime
from serving.runtime.reconciler import Reconciler
from serving.runtime.retries import Retries
from serving.settings import Settings
from serving.shortage import Shortage, tells_shortage
from tests.support.bundles import write_bundle, write_registry
from tests.support.null_serving import NullEngine
from tests.support.processes import serving
from tests.support.registries import tiny, wait_for

ROOTS_RIGHTS = "+dac_read_search,+dac_override"
# Takes a thread to tokenize.
LONG = "good film " * 200


@pytest.fixture
def registry(tmp_path):
    return write_registry(tmp_path / "registry", tmp_path)


def put(registry, scratch, **made):
    write_bundle(scratch / "made", accuracy=0.85, **made)
    return publish(scratch / "made", registry).manifest.version


def test_after_a_shortage_it_is_time_soon_after_a_load_then_later_and_never_without_one(
    monkeypatch,
):
    now = [100.0]

    async def main():
        monkeypatch.setattr(asyncio.get_running_loop(), "time", lambda: now[0])
        times = Retries()
        for seconds in (2, 4, 8, 16, 32, 60, 60):
            with suppress(ValueError):
                async with times.loading():
                    times.note(Shortage("no thread"))
                    now[0] += 120
                    raise ValueError("no graph")
            now[0] += seconds
            assert not times.due(missing=False)
            now[0] += 0.1
            assert times.due(missing=False)
        async with times.loading():
            times.note(ValueError("no graph"))
            now[0] += 120
        now[0] += 59.9
        assert not times.due(missing=True)
        now[0] += 60.1
        assert not times.due(missing=False)
        assert times.due(missing=True)

    asyncio.run(main())


def test_a_bundle_that_the_machine_was_too_short_for_is_served_later(
    registry, tmp_path, monkeypatch
):
    monkeypatch.setattr(retries, "_SHORTAGE_S", 0.05)
    short = []

    def engine(*arguments):
        if len(short) < 3:
            short.append(1)
            raise BlockingIOError(11, "Resource temporarily unavailable")
        return NullEngine(*arguments)

    async def main():
        settings = Settings(registry=[registry], engine="onnxruntime", threads=1, scan_ms=100)
        engines = {"onnxruntime": NullEngine}
        reconciler = Reconciler(settings, LocalRuntime(settings, engines))
        await reconciler.load()
        engines["onnxruntime"] = engine
        watch = asyncio.create_task(reconciler.watch())
        version = put(registry, tmp_path, scale=1.5)
        async with asyncio.timeout(30):
            while reconciler.served.families["tone"]["tiny"].live.manifest.version != version:  # noqa: ASYNC110
                await asyncio.sleep(0.02)
        assert not reconciler.served.refused
        watch.cancel()
        reconciler._runtime.close()

    asyncio.run(main())
    assert len(short) == 3


@pytest.mark.skipif(
    os.geteuid() != 0 or not shutil.which("setpriv") or not shutil.which("prlimit"),
    reason="only root can start a server as another user, whose threads are limited",
)
@pytest.mark.parametrize("room", [0, 3])
def test_without_a_thread_to_start_all_goes_on_and_what_was_published_is_served_later(
    registry, tmp_path, room
):
    user = f"--reuid={200_000 + os.getpid()}"
    rights = (f"--inh-caps={ROOTS_RIGHTS}", f"--ambient-caps={ROOTS_RIGHTS}")
    registry.chmod(0o755)
    write_bundle(registry / "mood" / "tiny", family="mood")
    with serving(
        registry, prefix=("setpriv", user, *rights), engine="onnxruntime", scan_ms=100, threads=1
    ) as server:
        prlimit = ["setpriv", user, "prlimit", f"--pid={server.process.pid}"]
        used = psutil.Process(server.process.pid).num_threads()
        subprocess.run([*prlimit, f"--nproc={used + room}:"], check=True)
        version = put(registry, tmp_path, scale=1.5)
        shutil.rmtree(registry / "mood")
        # With some room it depends on whether the process of the first trials is still there.
        wait_for(
            lambda: tells_shortage(server.log()) or (room and tiny(server)["version"] == version)
        )
        long = server.classify({"texts": [LONG], "model": "tone", "truncate": True}).status_code
        subprocess.run([*prlimit, "--nproc=10000:"], check=True)
        wait_for(lambda: tiny(server)["version"] == version)
        subprocess.run([*prlimit, f"--nproc={used}:"], check=True)
        status = server.stop()
        log = server.log()

    assert (long, status) == (200, 0)
    assert '"event":"bug"' not in log
