"""A registry that fails while a server follows it, in this process over an idle engine."""

import asyncio
from contextlib import asynccontextmanager

import pytest

from serving import background
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


async def loaded(*registries, **more):
    """A reconciler that has loaded what is there."""
    settings = Settings(registry=registries, engine="onnxruntime", threads=1, scan_ms=100, **more)
    reconciler = Reconciler(settings, LocalRuntime(settings, {"onnxruntime": NullEngine}))
    await reconciler.load()
    return reconciler


@asynccontextmanager
async def watching(registry):
    """A reconciler that watches."""
    reconciler = await loaded(registry)
    watch = asyncio.create_task(reconciler.watch())
    yield reconciler
    assert not watch.done()
    watch.cancel()
    reconciler._runtime.close()


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
            await until(lambda: not reconciler._reader.failing)

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


async def page_of(reconciler):
    page, _ = await reconciler._runtime.page(ready=True)
    return page.decode()


UNREADABLE, READABLE = (f"sizewise_registry_unreadable {value}.0" for value in (1, 0))


async def test_a_bug_of_the_server_is_told_as_one_and_does_not_make_the_registry_unreadable(
    registry, monkeypatch, capsys
):
    def fail(*_):
        raise KeyError("a bug")

    monkeypatch.setattr(background, "_RESTART_S", 0.01)
    async with watching(registry) as reconciler:
        with monkeypatch.context() as broken:
            broken.setattr(reconciler, "_wanted", fail)
            (registry / "tone" / "policy.json").write_text('{"min_accuracy": 0.5}')
            log = ""
            async with asyncio.timeout(BOUND_S):
                while "a background task has failed" not in log:
                    await asyncio.sleep(0.02)
                    log += capsys.readouterr().out
            assert READABLE in await page_of(reconciler)
        await until(lambda: reconciler.served.policies["tone"].min_accuracy == 0.5)

    assert '"task":"watching the registries"' in log
    assert "registry unreadable" not in log


async def test_a_rescan_that_succeeds_makes_the_registry_readable_at_once(registry, tmp_path):
    reconciler = await loaded(registry)
    registry.rename(tmp_path / "away")
    await reconciler.rescan()
    assert UNREADABLE in await page_of(reconciler)
    (tmp_path / "away").rename(registry)
    await reconciler.rescan()
    assert READABLE in await page_of(reconciler)
    reconciler._runtime.close()


async def test_a_registry_that_comes_back_as_it_was_is_readable(registry, tmp_path):
    async with watching(registry) as reconciler:
        registry.rename(tmp_path / "away")
        await until(lambda: reconciler._reader.failing)
        (tmp_path / "away").rename(registry)
        await until(lambda: not reconciler._reader.failing)

        assert READABLE in await page_of(reconciler)


async def test_what_is_refused_counts_for_the_model_whose_folder_it_is_in(registry, tmp_path):
    other = tmp_path / "other"
    write_bundle(other / "tone" / "tiny")
    write_bundle(other / "mood" / "tiny", family="mood")
    (other / "mood" / "wide").mkdir()
    (other / "mood" / "wide" / "model.onnx").touch()
    reconciler = await loaded(registry, other)

    page = await page_of(reconciler)
    assert sorted(reconciler.served.refused) == [str(other / "mood" / "wide"), str(other / "tone")]
    for model in ("mood", "tone"):
        assert f'sizewise_refused_bundles{{model="{model}"}} 1.0' in page
    reconciler._runtime.close()
