from pathlib import Path
from types import SimpleNamespace

from serving.bundles.traffic import Deployments
from serving.runtime.gauges import applied_by_model, refused_by_model, unproven_by_model

REGISTRY = Path("/registry")


def counted(refused, strangers=(), served=()):
    families = {"tone": dict.fromkeys(served, SimpleNamespace())}
    deployments = Deployments(families, refused=dict.fromkeys(refused, "why"))
    return refused_by_model(deployments, strangers, [REGISTRY])


def test_refused_files_and_bundles_count_for_their_model_and_strangers_do_not():
    refused = ["/registry/tone/wide", "/registry/tone/traffic.json", "/registry/lost+found"]

    assert counted(refused, ["/registry/lost+found"]) == {"tone": 2}


def test_the_folder_of_a_served_variant_that_is_emptied_is_counted():
    emptied = "/registry/tone/wide"

    assert counted([emptied], [emptied]) == {}
    assert counted([emptied], [emptied], served=["wide"]) == {"tone": 1}


def test_a_registry_that_is_one_model_counts_by_its_own_name():
    assert counted(["/registry"]) == {"registry": 1}


def test_a_cascade_and_decisions_whose_family_is_not_served_are_counted_nowhere():
    only = {"tone": SimpleNamespace()}
    assert unproven_by_model(Deployments(cascades=only), {}, {}) == {}
    assert applied_by_model(Deployments(decisions=only)) == {}
