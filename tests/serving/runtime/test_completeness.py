from pathlib import Path

import pytest

from serving.bundles.bundle import Bundle
from serving.bundles.traffic import Deployment, Deployments
from serving.runtime.completeness import missing_of
from serving.settings import Settings
from tests.support.bundles import manifest_of

BROKEN = {("tone", "wide"): "a file is missing"}
TINY = {"tiny": Deployment(Bundle(Path("tone/tiny"), manifest_of("tiny", 1, 0.9)))}
ONLY_TINY = Deployments({"tone": TINY})


def test_what_is_broken_beside_others_of_its_family_is_merely_left_out():
    assert missing_of(Settings(), BROKEN, ONLY_TINY) == {}


def test_a_variant_that_the_settings_name_is_missing():
    settings = Settings(variants=("tiny", "wide"))

    assert missing_of(settings, BROKEN, ONLY_TINY) == {"tone/wide": "a file is missing"}


def test_a_named_variant_that_was_taken_away_is_still_missing():
    settings = Settings(variants=("tiny", "wide"))
    missing = missing_of(settings, {}, ONLY_TINY)

    assert missing == {"wide": "SIZEWISE_VARIANTS: the registry has no variant wide"}


def test_a_family_with_nothing_but_broken_bundles_is_missing():
    lost = {("mood", "tiny"): "no graph", ("mood", "wide"): "no tokenizer"}
    missing = missing_of(Settings(), lost, ONLY_TINY)

    assert missing == {"mood/tiny": "no graph", "mood/wide": "no tokenizer"}


@pytest.mark.parametrize(
    ("refused", "reason"),
    [
        ({}, "SIZEWISE_DEFAULT_MODEL: the registry has no family mood"),
        ({"/models/mood": "Permission denied"}, "Permission denied"),
    ],
)
def test_the_default_family_is_missing_with_the_reason_that_is_known(refused, reason):
    settings = Settings(default_model="mood")
    deployments = Deployments({"tone": TINY}, refused=refused)

    assert missing_of(settings, {}, deployments) == {"mood": reason}


def test_families_that_are_loaded_on_demand_or_were_unloaded_are_not_missing():
    settings = Settings(default_model="mood", variants=("wide", "tiny"))
    lost = {("taste", "wide"): "no graph", ("mood", "wide"): "no graph"}
    deployments = Deployments(
        {"tone": TINY}, resting=frozenset({"mood"}), unloaded=frozenset({"taste"})
    )

    assert missing_of(settings, lost, deployments) == {}
