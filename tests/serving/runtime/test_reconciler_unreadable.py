"""A registry that fails while a server follows it, in this process over an idle engine."""

import asyncio
from contextlib import asynccontextmanager

import pytest

from serving.errors import BundleError
from serving.runtime import registry_reader
from serving.runtime.local import LocalRuntime
from serving.runtime.reconciler import Reconciler
from serving.settings import Settings
from tests.support.bundles import write_bundle, write_registry
from tests.support.null_serving import NullEngine

BOUND_S = 30


@pytest.fixture
def registry(tmp_path):
    return write_registry(tmp_path / "registry", tmp_path)


@asynccontextmanager
async def watching(registry):
    """A reconciler that watches, and its runtime."""
    settings = Settings(registry=[registry], engine="onnxruntime", threads=1, scan_ms=100)
    runtime = LocalRuntime(settings, {"onnxruntime": NullEngine})
    reconciler = Reconciler(settings, runtime)
    await reconciler.load()
    watch = asyncio.create_task(reconciler.watch())
    yield reconciler
    assert not watch.done()
    watch.cancel()
    runtime.close()


async def until(condition):
    for _ in range(round(BOUND_S / 0.02)):
        if condition():
            return
        await asyncio.sleep(0.02)
    raise AssertionError("it did not come about in time")


def test_a_change_whose_scan_fails_is_applied_by_the_next_scan_that_succeeds(
    registry, monkeypatch, capsys
):
    scan, failed = registry_reader.scan, []

    def fail_twice(*arguments):
        if len(failed) < 2:
            failed.append(arguments)
            raise BundleError("the scan took over 1 s")
        return scan(*arguments)

    async def main():
        async with watching(registry) as reconciler:
            monkeypatch.setattr(registry_reader, "scan", fail_twice)
            (registry / "tone" / "policy.json").write_text('{"min_accuracy": 0.5}')
            await until(lambda: reconciler.served.policies["tone"].min_accuracy == 0.5)
            await until(lambda: not reconciler._reader._failing)

    asyncio.run(main())

    log = capsys.readouterr().out
    assert len(failed) == 2
    assert log.count('"event":"registry unreadable","reason":"the scan took over 1 s"') == 1
    assert log.count('"event":"registry readable"') == 1


@pytest.mark.parametrize("error", [PermissionError(13, "denied"), RecursionError(), ValueError()])
def test_whatever_ends_a_look_at_the_registry_does_not_end_the_watch(registry, monkeypatch, error):
    looked, whole = [], registry_reader.fingerprint

    def fail(*arguments):
        looked.append(arguments)
        if len(looked) < 4:
            raise error
        return whole(*arguments)

    async def main():
        async with watching(registry) as reconciler:
            before = reconciler.served
            monkeypatch.setattr(registry_reader, "fingerprint", fail)
            await until(lambda: len(looked) > 5)
            assert reconciler.served == before

    asyncio.run(main())


def test_a_start_with_a_registry_that_cannot_be_read_ends_with_a_sentence(registry, monkeypatch):
    def fail(*_arguments):
        raise PermissionError(13, "Permission denied", str(registry))

    monkeypatch.setattr(registry_reader, "fingerprint", fail)

    async def main():
        async with watching(registry):
            pass

    with pytest.raises(BundleError, match=r"SIZEWISE_REGISTRY: .*Permission denied"):
        asyncio.run(main())


def test_a_registry_that_is_empty_now_is_refused_and_what_was_loaded_goes_on(registry, tmp_path):
    async def main():
        async with watching(registry) as reconciler:
            before = reconciler.served.families
            (registry / "tone").rename(tmp_path / "away")
            await until(lambda: str(registry) in reconciler.served.refused)
            emptied = reconciler.served
            (tmp_path / "away").rename(registry / "tone")
            await until(lambda: not reconciler.served.refused)
            return before, emptied, reconciler.served.families

    before, emptied, after = asyncio.run(main())

    assert emptied.families == before == after
    assert "holds no bundle any more" in emptied.refused[str(registry)]


def test_a_family_that_leaves_a_registry_of_several_is_not_served_any_more(registry, tmp_path):
    write_bundle(registry / "mood" / "tiny", family="mood")

    async def main():
        async with watching(registry) as reconciler:
            assert reconciler.served.families.keys() == {"mood", "tone"}
            (registry / "tone").rename(tmp_path / "away")
            await until(lambda: reconciler.served.families.keys() == {"mood"})
            assert not reconciler.served.refused

    asyncio.run(main())
