"""Which versions are live: those that traffic.json names, and else those in the usual places."""

import json

import pytest

from models.retraining.live_versions import live_bundles
from serving.bundles.registry import publish
from serving.errors import BundleError


def versions(home):
    bundles = live_bundles(home.registry, "tone")
    return {each.manifest.variant: each.manifest.version for each in bundles}


def test_a_version_that_is_pinned_is_live_and_not_the_one_in_its_place(home):
    assert versions(home) == home.old
    publish(home.made / "tone/tiny", home.registry)
    assert versions(home) == {**home.old, "tiny": home.new["tiny"]}
    pinned = {"tiny": {"version": home.old["tiny"]}}

    (home.folder / "traffic.json").write_text(json.dumps(pinned))

    assert versions(home) == home.old


def test_a_live_bundle_that_was_changed_is_refused(home):
    with (home.folder / "tiny/model.onnx").open("ab") as file:
        file.write(b"x")

    with pytest.raises(BundleError, match=r"model\.onnx"):
        versions(home)


@pytest.mark.parametrize(
    ("registry", "family", "says"),
    [
        ("registry", "tune", "has no family 'tune'"),
        ("registry/tone/tiny", "tone", "served as it is"),
    ],
)
def test_a_registry_that_nothing_can_be_published_to_is_refused(home, registry, family, says):
    with pytest.raises(BundleError, match=says):
        live_bundles(home.registry.parent / registry, family)
