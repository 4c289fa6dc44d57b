"""What the engine process keeps of bundles that come and go."""

import asyncio
import shutil
from collections import defaultdict

from serving.bundles.registry import publish
from serving.runtime import local
from serving.runtime.local import LocalRuntime
from serving.runtime.reconciler import Reconciler
from serving.runtime.retention import retain
from serving.settings import Settings
from tests.support.batchers import wait_until
from tests.support.bundles import write_bundle
from tests.support.null_serving import NullEngine


def put(registry, scratch, **made):
    folder = scratch / f"made{len(list(scratch.iterdir()))}"
    write_bundle(folder, **made)
    publish(folder, registry)


async def followed(runtime):
    async for _ in runtime.follow():
        pass


async def test_nothing_is_kept_of_versions_and_families_that_have_gone(tmp_path, monkeypatch):
    returned = []
    monkeypatch.setattr(local, "return_freed", lambda: returned.append(1))
    registry = tmp_path / "registry"
    settings = Settings(registry=registry)
    runtime = LocalRuntime(settings, defaultdict(lambda: NullEngine))
    reconciler = Reconciler(settings, runtime)
    following = asyncio.create_task(followed(runtime))
    known = []
    for turn in range(6):
        put(registry, tmp_path, scale=1.0 + turn)
        put(registry, tmp_path, family=f"family{turn}")
        if turn:
            shutil.rmtree(registry / f"family{turn - 1}")
        await (reconciler.rescan() if turn else reconciler.load())
        await wait_until(lambda: len(runtime.running) == 2)
        runtime.use(("tone", "tiny", ""))
        runtime.use((f"family{turn}", "tiny", ""))
        await reconciler._check_files()
        # What has gone was unloaded after the scan, and is forgotten at the next.
        await reconciler.rescan()
        kept = (runtime._bytes, runtime.used_s, runtime.integrity._checked, runtime.integrity._seen)
        known.append([len(each) for each in kept])
    following.cancel()
    runtime.close()

    assert known[1:] == known[1:2] * 5
    assert known[-1][1] == 2
    assert len(returned) == 5, "memory is returned once, after everything that was unloaded"


def test_only_the_named_are_retained():
    known = dict.fromkeys("abc", 1)

    retain(known, {"b", "d"})

    assert known == {"b": 1}
