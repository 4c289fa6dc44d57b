"""A family's own files that become unreadable or wrong while they are followed."""

import asyncio
import os
import shutil

import pytest

from serving.bundles.bundle import read_bundle
from serving.bundles.registry import FAMILY_NAMES, publish
from serving.bundles.traffic import Traffic, VariantTraffic
from serving.errors import BundleError, StartError
from serving.runtime.local import LocalRuntime
from serving.runtime.reconciler import Reconciler
from serving.settings import Settings
from tests.support.bundles import write_bundle, write_registry
from tests.support.cascades import cascade_of
from tests.support.decisions import decider, decisions_of
from tests.support.null_serving import NullEngine


def _folder(path):
    path.mkdir()


def _link(path):
    path.symlink_to("/nonexistent")


WAYS = {
    "a folder": _folder,
    "a named pipe": os.mkfifo,
    "a link out of the registry": _link,
    "no text": lambda path: path.write_bytes(b"\xff{}"),
    "huge": lambda path: path.write_bytes(b" " * (5 << 20)),
    "half written": lambda path: path.write_text('{"format_version": '),
    "of other fields": lambda path: path.write_text('{"other": {}}'),
}


@pytest.fixture
def family(tmp_path):
    """The folder of a family that has each of its own files, all of which change something."""
    folder = write_registry(tmp_path / "registry", tmp_path / "made") / "tone"
    versions = {name: read_bundle(folder / name).manifest.version for name in ("tiny", "wide")}
    write_bundle(tmp_path / "made" / "next", variant="tiny", scale=1.5)
    canary = publish(tmp_path / "made" / "next", tmp_path / "registry", "@next").manifest.version
    decided = decisions_of(decider(versions, {"negative": 0.3}, variant="wide"))
    contents = {
        "traffic.json": f'{{"tiny": {{"canary": {{"version": "{canary}", "weight": 0.5}}}}}}',
        "policy.json": '{"harmless": ["positive"]}',
        "cascade.json": cascade_of(versions).model_dump_json(),
        "decisions.json": decided.model_dump_json(),
        "windows.json": '{"long": "windows"}',
    }
    assert contents.keys() == set(FAMILY_NAMES)
    for name, content in contents.items():
        (folder / name).write_text(content)
    return folder


def served_by(reconciler):
    """What each file decides."""
    served = reconciler.served
    return {
        "traffic.json": served.families["tone"]["tiny"].canary,
        "policy.json": served.policies["tone"].harmless,
        "cascade.json": served.cascades.get("tone"),
        "decisions.json": served.decisions.get("tone"),
        "windows.json": served.windows["tone"].long,
    }


def test_a_file_that_cannot_be_used_is_refused_and_the_last_valid_one_goes_on(family):
    async def main():
        settings = Settings(registry=[family.parent], engine="onnxruntime", threads=1)
        reconciler = Reconciler(settings, LocalRuntime(settings, {"onnxruntime": NullEngine}))
        await reconciler.load()
        valid = served_by(reconciler)
        for name in FAMILY_NAMES:
            path, kept = family / name, (family / name).read_text()
            path.unlink()
            for way, spoil in WAYS.items():
                spoil(path)
                await reconciler.rescan()
                assert served_by(reconciler) == valid, (name, way)
                assert list(reconciler.served.refused) == [str(path)], way
                path.rmdir() if path.is_dir() else path.unlink()
            await reconciler.rescan()
            without = served_by(reconciler)
            assert without.pop(name) != valid[name]
            assert without == {each: its for each, its in valid.items() if each != name}
            path.write_text(kept)
            await reconciler.rescan()
            assert (served_by(reconciler), reconciler.served.refused) == (valid, {})
        reconciler._runtime.close()

    asyncio.run(main())


@pytest.mark.parametrize(
    ("floor", "said"),
    [
        ('{"min_accuracy": 0.99}', 'floor {"min_accuracy":0.99}: lower it'),
        (
            '{"max_group_gap": 0.5}',
            "for max_group_gap by `python -m models groups`",
        ),
        ('{"max_drop": 0.5}', "max_drop"),
    ],
)
def test_a_floor_that_no_variant_reaches_is_refused_and_the_policy_before_goes_on(
    family, floor, said
):
    async def main():
        settings = Settings(registry=[family.parent], engine="onnxruntime", threads=1)
        reconciler = Reconciler(settings, LocalRuntime(settings, {"onnxruntime": NullEngine}))
        path = family / "policy.json"
        path.write_text('{"floor": {"min_accuracy": 0.87}}')
        await reconciler.load()
        assert reconciler.served.refused == {}
        path.write_text(f'{{"floor": {floor}}}')
        await reconciler.rescan()
        assert said in reconciler.served.refused[str(path)]
        assert reconciler.served.policies["tone"].floor.min_accuracy == 0.87
        reconciler._runtime.close()

    asyncio.run(main())


@pytest.fixture
def reconciler(tmp_path):
    """One that follows the family `tone`, of which `wide` reaches 0.87, and `mood`."""
    registry = write_registry(tmp_path / "registry", tmp_path / "made")
    write_bundle(registry / "mood" / "tiny", family="mood")
    settings = Settings(registry=[registry], engine="onnxruntime", threads=1)
    runtime = LocalRuntime(settings, {"onnxruntime": NullEngine})
    yield Reconciler(settings, runtime)
    runtime.close()


def write_policy(registry, text):
    path = registry / "tone" / "policy.json"
    path.write_text(text)
    return str(path)


UNREACHED = '{"floor": {"min_accuracy": 0.99}}'


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (UNREACHED, "is shown to reach the floor"),
        ('{"floor": {"min_acuracy": 0.99}}', "min_acuracy"),
        ("{", "policy.json"),
    ],
)
async def test_a_family_is_not_served_without_its_policy(reconciler, tmp_path, text, said):
    path = write_policy(tmp_path / "registry", text)
    await reconciler.load()
    assert list(reconciler.served.families) == ["mood"]
    assert said in reconciler.served.refused[path]
    assert said in reconciler.served.missing["tone/tiny"]

    write_policy(tmp_path / "registry", '{"floor": {"min_accuracy": 0.87}}')
    await reconciler.rescan()
    assert sorted(reconciler.served.families) == ["mood", "tone"]
    assert (reconciler.served.refused, reconciler.served.missing) == ({}, {})


async def test_if_no_policy_can_hold_a_start_ends_with_its_reason(reconciler, tmp_path):
    shutil.rmtree(tmp_path / "registry" / "mood")
    write_policy(tmp_path / "registry", UNREACHED)

    with pytest.raises(StartError, match=r"policy\.json: no variant of tiny, wide"):
        await reconciler.load()


def publish_worse(registry, scratch):
    write_bundle(scratch / "worse", variant="wide", scale=1.5, accuracy=0.6)
    publish(scratch / "worse", registry)


def remove(registry, _scratch):
    shutil.rmtree(registry / "tone" / "wide")


@pytest.mark.parametrize("swap", [publish_worse, remove])
async def test_a_swap_after_which_nothing_reaches_the_floor_changes_nothing(
    reconciler, tmp_path, swap
):
    path = write_policy(tmp_path / "registry", '{"floor": {"min_accuracy": 0.87}}')
    await reconciler.load()
    before = reconciler.served
    swap(tmp_path / "registry", tmp_path)
    await reconciler.rescan()
    assert "is shown to reach the floor" in reconciler.served.refused[path]
    assert reconciler.served.families == before.families
    assert reconciler.served.policies == before.policies

    write_policy(tmp_path / "registry", "{}")
    await reconciler.rescan()
    assert reconciler.served.families["tone"] != before.families["tone"]


async def test_what_cannot_be_loaded_reaches_no_floor(reconciler, tmp_path):
    path = write_policy(tmp_path / "registry", '{"floor": {"min_accuracy": 0.87}}')
    (tmp_path / "registry" / "tone" / "wide" / "model.onnx").write_bytes(b"broken")
    await reconciler.load()
    assert list(reconciler.served.families) == ["mood"]
    assert "is shown to reach the floor" in reconciler.served.refused[path]


async def test_traffic_by_which_nothing_reaches_the_floor_is_refused(reconciler, tmp_path):
    publish_worse(tmp_path / "registry", tmp_path)
    worse = read_bundle(tmp_path / "worse").manifest.version
    (tmp_path / "registry" / "tone" / "wide").rename(tmp_path / "registry" / "tone" / "wide@next")
    publish(tmp_path / "made" / "wide", tmp_path / "registry")
    write_policy(tmp_path / "registry", '{"floor": {"min_accuracy": 0.87}}')
    await reconciler.load()
    before = reconciler.served

    with pytest.raises(BundleError, match="is shown to reach the floor"):
        await reconciler.set_traffic("tone", Traffic({"wide": VariantTraffic(version=worse)}))

    assert (reconciler.served, reconciler.overrides) == (before, {})
