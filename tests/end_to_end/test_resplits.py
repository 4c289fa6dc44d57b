"""The program that re-splits held-out texts: short, on tiny bundles."""

import json

import numpy as np
import pytest

from models.cascade.costs import Costs
from tests.benchmarks import resplits
from tests.support.tone_family import SPLITS, write_tone

COST_S = {"large": 9e-3, "medium": 3e-3, "small": 1e-3}


@pytest.fixture(autouse=True)
def costs(monkeypatch):
    """Those of the tiny graphs are noise."""

    def measured(loaded, _texts):
        return Costs(np.array([COST_S[name] for name in loaded]), np.ones((1, 1)))

    monkeypatch.setattr(resplits, "measured", measured)


@pytest.fixture(scope="module")
def tone(tmp_path_factory):
    home = tmp_path_factory.mktemp("tone")
    write_tone(home)
    return home


def found(tone, capsys, times, *options):
    """The program's status and its last line."""
    status = resplits.main(
        [
            str(tone / "build/tone/large/data"), "--registry", str(tone / "registry"), "--family",
            "tone", "--engine", "onnxruntime", "--scores", str(tone / "scores"), "--times",
            str(times), "--variants", "small,large", *options,
        ]
    )  # fmt: skip
    return status, json.loads(capsys.readouterr().out.splitlines()[-1])


@pytest.mark.parametrize(("loss", "most"), [("agreement", "0.08"), ("accuracy", "0.1")])
def test_few_re_splits_lose_more_than_was_promised(tone, capsys, loss, most):
    status, said = found(tone, capsys, 20, "--loss", loss, "--max-loss", most)

    assert status == 0
    assert said["holds"]
    assert said["missed"]["value"] <= said["promised"] == pytest.approx(0.05)
    assert said["found"] > 0.5
    assert said["saved"] > 0
    assert said["texts"] == list(SPLITS.values())
    assert said["reference"] == "large"
    assert said["variants"]["small"]["engine"].startswith("onnxruntime")


def test_what_has_been_scored_is_not_scored_again(tone, capsys, monkeypatch):
    _, before = found(tone, capsys, 2)

    monkeypatch.setattr(resplits, "choose", None)
    _, after = found(tone, capsys, 2)

    assert before | {"cpu_s": 0} == after | {"cpu_s": 0}


def test_the_status_is_1_if_more_re_splits_miss_than_may(tone, capsys, monkeypatch):
    figures = resplits.figures

    def changed(ways, target):
        own = figures(ways, target)
        return own | {"missed": own["missed"] | {"value": 0.052}}

    monkeypatch.setattr(resplits, "figures", changed)

    status, said = found(tone, capsys, 2)

    assert (status, said["holds"]) == (1, False)
