"""A family's cascade beside its variants: listed, run on real servers, reported, recommended."""

import json

import numpy as np
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from loadtest.__main__ import main
from loadtest.analysis.cascade_choices import (
    cascade_description,
    choices,
    degraded_accuracy,
    request_fields,
)
from loadtest.measure.run import SCHEMA_VERSION
from loadtest.measure.server import running_server
from loadtest.report.build import build, read_report
from loadtest.samples import ClientLoad, Phase, RequestSample, write_samples
from loadtest.scenario import Load, Scenario
from serving.bundles.registry import read_registry
from tests.support.bundles import evaluation, write_registry
from tests.support.cascades import cascade_of, write_cascade
from tests.support.lenient_criteria import REFUSE_NOTHING
from tests.support.reports import settle

VERSIONS = {"small": "1a", "medium": "2b", "large": "3c"}
ACCURACIES = {"small": 0.80, "medium": 0.86, "large": 0.90}
SCENARIO = """
rounds = 1
warmup_s = 0.2
measured_s = 0.6
slo_p99_ms = 1000
floor = false
loads = [{name = "open", kind = "open", rate_rps = 30, texts_per_request = 2}]
"""


def around(value):
    return {"value": value, "low": value - 0.01, "high": value + 0.01}


def model_of(versions=VERSIONS, cascade=True):
    """As /v1/models has it: three variants of which each stage reaches a half of the last."""
    listed = [
        {
            "variant": name, "version": version, "precision": "int8", "parameters": 10 * number,
            "bytes": 100 * number, "engine": "onnxruntime", "state": "ready",
            "evaluations": {"test": json.loads(evaluation(ACCURACIES[name]).model_dump_json())},
        }
        for number, (name, version) in enumerate(versions.items(), start=1)
    ]  # fmt: skip
    stages = cascade_of(versions, reach=0.5).model_dump(mode="json")["stages"]
    for stage, accuracy in zip(stages, (0.80, 0.87, 0.91), strict=True):
        stage["accuracy"] = around(accuracy)
    return {"model": "tone", "variants": listed, "cascade": {"stages": stages} if cascade else None}


def test_a_cascade_is_listed_beside_its_variants_as_the_sum_of_its_stages():
    *variants, auto, brownout = choices(model_of(), 25)
    assert [each["stages"] for each in variants] == [["small"], ["medium"], ["large"]]
    assert auto["stages"] == brownout["stages"] == ["small", "medium", "large"]
    assert (auto["bytes"], auto["parameters"], auto["version"]) == (600, 60, "1a+2b+3c")
    assert auto["evaluations"]["test"]["accuracy"] == around(0.91)
    assert (auto["brownout_ms"], brownout["brownout_ms"]) == (None, 25)


def test_a_family_without_a_cascade_has_its_variants_and_a_foreign_server_no_brownout():
    assert len(list(choices(model_of(cascade=False), 25))) == 3
    assert [each["variant"] for each in choices(model_of(), None)][3:] == ["auto"]


def test_only_under_brownout_may_an_answer_be_degraded():
    assert request_fields("small") == {"variant": "small", "allow_degraded": False}
    assert request_fields("auto") == {"variant": "auto", "allow_degraded": False}
    assert request_fields("brownout") == {"variant": "auto", "allow_degraded": True}
    assert cascade_description(["small"], None) == ""


@pytest.mark.parametrize(
    ("degraded", "accuracy"),
    [
        ({}, 0.91),
        ({"small": 0.5}, 0.80),  # all that should have gone on: the accuracy of the first alone
        ({"medium": 0.25}, 0.87),  # likewise of the first two
        ({"small": 0.25, "medium": 0.125}, 0.91 - 0.055 - 0.02),
        ({"large": 1.0}, 0.90),
        ({"unmeasured": 0.5}, 0.455),
    ],
)
def test_each_degraded_text_loses_what_its_own_stage_loses_on_those_that_go_on(degraded, accuracy):
    found = degraded_accuracy(model_of(), degraded)
    assert found == pytest.approx(around(accuracy))


@given(st.floats(0.0, 0.5), st.floats(0.0, 0.25))
def test_an_accuracy_lies_between_those_of_the_shortest_prefix_and_the_whole(small, medium):
    degraded = {"small": small, "medium": min(medium, (0.5 - small) / 2)}
    assert 0.80 - 1e-9 <= degraded_accuracy(model_of(), degraded)["value"] <= 0.91 + 1e-9


def rows(degraded=None, status=200):
    """Ten seconds of a request each 20 ms, every second of them degraded."""
    times_s = np.arange(0.0, 10.0, 0.02).tolist()
    return [
        RequestSample(
            at_s, at_s, at_s + 0.01, status, 9, {}, [degraded] if degraded and number % 2 else []
        )
        for number, at_s in enumerate(times_s)
    ]


def test_under_brownout_each_load_has_its_accuracy_and_the_choice_that_of_its_worst(tmp_path):
    sent = {
        "closed": rows("small"), "calm": rows(), "busy": rows("medium"), "full": rows(status=503)
    }  # fmt: skip
    scenario = Scenario(
        rounds=1, warmup_s=0, measured_s=10,
        loads=[Load(name="closed", kind="closed", users=1),
               *(Load(name=name, kind="open", share=1) for name in ("calm", "busy", "full"))],
    )  # fmt: skip
    for name, sending in sent.items():
        phase = Phase("tone", "brownout", name, 0, "closed" if name == "closed" else "open", 1,
                      "constant", 50.0, None, 1, None, 0.0, 10.0, 0)  # fmt: skip
        path = tmp_path / "samples" / f"{phase.name}.0.parquet"
        write_samples(path, sending, phase, ClientLoad(0.0, 0.1))
    about = {
        "schema_version": SCHEMA_VERSION, "scenario": scenario.model_dump(mode="json"),
        "servers": [], "url": None, "models": [model_of()],
    }  # fmt: skip
    (tmp_path / "run.json").write_text(json.dumps(about))
    (brownout,) = build(tmp_path)["variants"]
    found = {name: load["accuracy"] for name, load in brownout["loads"].items()}
    assert found.pop("full") is None
    assert {name: accuracy["value"] for name, accuracy in found.items()} == pytest.approx(
        {"closed": 0.80, "calm": 0.91, "busy": 0.83}
    )
    assert brownout["accuracy"] == found["busy"]


@pytest.fixture(scope="module")
def registry(tmp_path_factory):
    folder = tmp_path_factory.mktemp("registry")
    write_registry(folder, tmp_path_factory.mktemp("scratch"))
    (bundles,) = read_registry(folder).values()
    versions = {each.manifest.variant: each.manifest.version for each in bundles}
    write_cascade(folder, versions, threshold=0.85)
    return folder


@pytest.fixture
def scenario(tmp_path):
    (tmp_path / "short.toml").write_text(SCENARIO)
    return str(tmp_path / "short.toml")


def test_a_cascade_and_its_brownout_are_measured_on_own_servers_and_recommended(
    registry, scenario, tmp_path, capsys
):
    out = tmp_path / "reports"
    options = ["--registry", str(registry), "--out", str(out), "--variant", "auto", "brownout"]
    assert main(["run", scenario, *options], criteria=REFUSE_NOTHING) == 0
    (folder,) = out.iterdir()
    report = read_report(folder)
    auto, brownout = report["variants"]
    assert auto["stages"] == brownout["stages"] == ["tiny", "wide"]
    assert (auto["brownout_ms"], brownout["brownout_ms"]) == (None, 500)
    assert auto["accuracy"]["value"] == 0.9
    assert all(load["degraded"] == {} for load in auto["loads"].values())
    assert set(brownout["loads"]["open"]["degraded"]) <= {"tiny", "wide"}
    assert brownout["accuracy"] == brownout["loads"]["open"]["accuracy"]
    assert not report["laws"]
    text = (folder / "report.md").read_text()
    assert "cascade of tiny, wide, brownout above a wait of 500 ms" in text
    settle(folder)
    values = tmp_path / "values.yaml"
    required = ["--slo-p99-ms", "30000", "--min-accuracy", "0.1", "--rps", "1"]
    assert main(["recommend", str(folder), *required, "--values", str(values)]) == 0
    assert "(cascade of tiny, wide" in capsys.readouterr().out
    assert yaml.safe_load(values.read_text())["variants"] == ["tiny", "wide"]


def test_a_running_server_has_its_cascade_as_a_choice_and_no_brownout(
    registry, scenario, tmp_path, capsys
):
    with running_server(registry, tmp_path / "server.log") as server:
        options = ["--url", server.url, "--out", str(tmp_path), "--variant", "brownout"]
        assert main(["run", scenario, *options]) == 2
    assert "brownout: not available; the server offers auto, tiny, wide" in capsys.readouterr().err
