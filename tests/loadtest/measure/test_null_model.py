"""The model without inference, as a real engine runs it, and a whole run against real servers."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest

from loadtest.measure.null_model import NULL_MODEL, publish_null_model
from loadtest.measure.server import LoadTestError
from serving.bundles.bundle import read_bundle, verify
from serving.inference.engine import Resources
from serving.inference.ort_engine import OrtEngine
from tests.support.bundles import encoded, write_bundle
from tests.support.processes import ROOT


def test_the_floor_answers_zeros_of_as_many_labels_as_the_bundle_has(tmp_path):
    bundle, registry = tmp_path / "bundle", tmp_path / "registry"
    bundle.mkdir()
    write_bundle(bundle)

    publish_null_model(bundle, registry)

    floor = read_bundle(registry.joinpath(*NULL_MODEL))
    verify(floor)
    logits = OrtEngine(floor, Resources("cpu", threads=1)).run(encoded([4, 5], [4], [4] * 9))
    assert np.array_equal(logits, np.zeros((3, 2)))


def test_a_folder_that_is_no_bundle_has_no_floor(tmp_path):
    with pytest.raises(LoadTestError, match="is no bundle"):
        publish_null_model(tmp_path, tmp_path / "registry")


def test_a_run_on_real_servers_measures_the_variants_and_the_floor(tmp_path, tiny_registry):
    (tmp_path / "own.toml").write_text(
        "rounds = 1\nwarmup_s = 0.5\nmeasured_s = 1\n"
        '[[loads]]\nname = "closed"\nkind = "closed"\nusers = 4\n'
        '[[loads]]\nname = "open"\nkind = "open"\nrate_rps = 40\n'
    )

    done = subprocess.run(
        [
            sys.executable, "-m", "loadtest", "run", "own.toml", "--registry", str(tiny_registry),
        ],
        cwd=tmp_path, env=os.environ | {"PYTHONPATH": str(ROOT)}, capture_output=True, text=True,
        check=False, timeout=110,
    )  # fmt: skip

    assert done.returncode in (0, 3), done.stderr  # 3: refused, which a busy machine may deserve
    (folder,) = (tmp_path / "reports").iterdir()
    report = json.loads((folder / "report.json").read_text())
    assert {variant["variant"] for variant in report["variants"]} == {"tiny", "wide"}
    floor = report["floor"]["closed"]["rounds"][0]
    assert floor["status"] == {"200": floor["requests"]}
    assert floor["split_median_ms"]["engine"] < 5.0
