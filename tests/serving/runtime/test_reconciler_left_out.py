"""What a family's files say of variants that SIZEWISE_VARIANTS leaves out, or that are broken."""

import shutil
from contextlib import asynccontextmanager

import pytest

from serving.bundles.bundle import read_bundle
from serving.bundles.registry import publish
from serving.bundles.traffic import Traffic, VariantTraffic
from serving.errors import BundleError
from serving.runtime.local import LocalRuntime
from serving.runtime.reconciler import Reconciler
from serving.settings import Settings
from tests.support.bundles import write_bundle, write_registry
from tests.support.cascades import write_cascade
from tests.support.null_serving import NullEngine

LEFT_OUT = "cascade.json is not used: SIZEWISE_VARIANTS leaves out tone/tiny"


@pytest.fixture
def registry(tmp_path):
    """A family with a cascade from `tiny` to `wide`."""
    found = write_registry(tmp_path / "registry", tmp_path / "made")
    names = ("tiny", "wide")
    write_cascade(found, {n: read_bundle(found / "tone" / n).manifest.version for n in names})
    return found


@asynccontextmanager
async def loaded(*registries, **more):
    settings = Settings(registry=registries, engine="onnxruntime", threads=1, **more)
    runtime = LocalRuntime(settings, {"onnxruntime": NullEngine})
    reconciler = Reconciler(settings, runtime)
    await reconciler.load()
    yield reconciler
    runtime.close()


def break_tiny(folder):
    (folder / "model.onnx").write_bytes(b"broken")


@pytest.mark.parametrize(
    ("settings", "spoil", "reason"),
    [
        ({"variants": ["wide"]}, None, LEFT_OUT),
        ({"variants": ["wide"]}, shutil.rmtree, LEFT_OUT),
        ({}, break_tiny, "cascade.json is not used: tone/tiny is refused"),
        ({}, lambda folder: (folder / "manifest.json").write_text("{}"), "tone/tiny is refused"),
        ({}, shutil.rmtree, "the registry has no such variant: run `python -m models cascade`"),
    ],
    ids=["left out", "neither there", "altered", "unreadable", "removed"],
)
async def test_a_cascade_is_stale_only_if_the_registry_has_other_variants(
    registry, settings, spoil, reason
):
    if spoil:
        spoil(registry / "tone" / "tiny")
    async with loaded(registry, **settings) as reconciler:
        refused = reconciler.served.refused[str(registry / "tone" / "cascade.json")]

    assert reason in refused
    assert ("stale" in refused) == ("no such variant" in reason)
    assert not reconciler.served.cascades


async def test_the_reason_stays_while_the_registry_is_emptied(registry, tmp_path):
    async with loaded(registry, variants=["wide"]) as reconciler:
        registry.rename(tmp_path / "away")
        registry.mkdir()
        await reconciler.rescan()
        assert LEFT_OUT in reconciler.served.refused.values()


@pytest.mark.parametrize("is_there", [True, False])
async def test_traffic_counts_for_what_is_chosen_whether_the_rest_is_there_or_not(
    registry, tmp_path, is_there
):
    write_bundle(tmp_path / "next", variant="wide", scale=1.5)
    pinned = publish(tmp_path / "next", registry, "@next").manifest.version
    tiny = read_bundle(registry / "tone" / "tiny").manifest.version
    path = registry / "tone" / "traffic.json"
    path.write_text(f'{{"wide": {{"version": "{pinned}"}}, "tiny": {{"version": "{tiny}"}}}}')
    if not is_there:
        shutil.rmtree(registry / "tone" / "tiny")
    async with loaded(registry, variants=["wide"]) as reconciler:
        assert str(path) not in reconciler.served.refused
        assert reconciler.served.families["tone"]["wide"].live.manifest.version == pinned
        with pytest.raises(BundleError, match="SIZEWISE_VARIANTS leaves out tiny"):
            await reconciler.set_traffic("tone", Traffic({"tiny": VariantTraffic(version=tiny)}))


async def test_the_folder_of_one_model_is_served_and_has_traffic_whatever_is_chosen(
    registry, tmp_path
):
    write_bundle(tmp_path / "mine")
    (tmp_path / "mine" / "manifest.json").unlink()
    async with loaded(registry, tmp_path / "mine", variants=["wide"]) as reconciler:
        its = reconciler.served.families["mine"]["mine"].live.manifest
        await reconciler.set_traffic("mine", Traffic({"mine": VariantTraffic(version=its.version)}))

        assert reconciler.overrides["mine"].root["mine"].version == its.version
        with pytest.raises(BundleError, match="SIZEWISE_VARIANTS leaves out tiny"):
            await reconciler.set_traffic(
                "mine", Traffic({"tiny": VariantTraffic(version=its.version)})
            )


async def test_traffic_that_names_nothing_is_refused(registry):
    path = registry / "tone" / "traffic.json"
    path.write_text('{"wid": {"version": "0000000000000000"}}')
    async with loaded(registry) as reconciler:
        assert "wid has no version 0000000000000000" in reconciler.served.refused[str(path)]


async def test_a_default_family_of_which_all_is_left_out_is_said_to_be_that(registry, tmp_path):
    write_bundle(tmp_path / "large", family="mood", variant="large")
    publish(tmp_path / "large", registry)
    async with loaded(registry, variants=["wide"], default_model="mood") as reconciler:
        missing = dict(reconciler.served.missing)

    assert missing == {"mood": "SIZEWISE_DEFAULT_MODEL: SIZEWISE_VARIANTS leaves out all of mood"}
