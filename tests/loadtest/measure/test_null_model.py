"""The model without inference, as a real engine runs it, and a whole run against real servers."""

import json

import numpy as np
import pytest

from loadtest.__main__ import main
from loadtest.measure.null_model import NULL_MODEL, publish_null_model
from loadtest.measure.server import LoadTestError
from serving.bundles.bundle import read_bundle, verify
from serving.inference.engine import Resources
from serving.inference.ort_engine import OrtEngine
from tests.support.bundles import encoded, write_bundle
from tests.support.limits import NO_LIMITS
from tests.support.processes import ROOT


def test_the_null_model_answers_zeros_of_as_many_labels_as_the_bundle_has(tmp_path):
    bundle, registry = tmp_path / "bundle", tmp_path / "registry"
    bundle.mkdir()
    write_bundle(bundle)

    publish_null_model(bundle, registry)

    published = read_bundle(registry.joinpath(*NULL_MODEL))
    verify(published)
    logits = OrtEngine(published, Resources("cpu", threads=1)).run(encoded([4, 5], [4], [4] * 9))
    assert np.array_equal(logits, np.zeros((3, 2)))


def test_a_folder_that_is_not_a_bundle_has_no_null_model(tmp_path):
    with pytest.raises(LoadTestError, match="is not a bundle"):
        publish_null_model(tmp_path, tmp_path / "registry")


def test_a_run_on_real_servers_measures_the_variants_and_the_null_model(
    tmp_path, tiny_registry, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    (tmp_path / "own.toml").write_text(
        "rounds = 1\nwarmup_s = 0.5\nmeasured_s = 1\n"
        '[[loads]]\nname = "closed"\nkind = "closed"\nusers = 4\n'
        '[[loads]]\nname = "open"\nkind = "open"\nrate_rps = 40\n'
    )

    assert main(["run", "own.toml", "--registry", str(tiny_registry)], limits=NO_LIMITS) == 0

    (folder,) = (tmp_path / "reports").iterdir()
    report = json.loads((folder / "report.json").read_text())
    assert {variant["variant"] for variant in report["variants"]} == {"tiny", "wide"}
    null_model = report["floor"]["closed"]["rounds"][0]
    assert null_model["status"] == {"200": null_model["requests"]}
    assert null_model["split_median_ms"]["engine"] < 5.0
