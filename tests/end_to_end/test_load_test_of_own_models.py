"""Imported models without scores, of texts and of pairs, from `run` to `recommend`."""

import pytest

from loadtest.__main__ import main
from loadtest.report.build import read_report
from serving.bundles.registry import publish
from tests.support.bundles import alter, write_bundle, write_tensor_bundle
from tests.support.lenient_criteria import REFUSE_NOTHING
from tests.support.reports import settle

SCENARIO = """
rounds = 1
warmup_s = 0.2
measured_s = 0.5
floor = false
[[loads]]
name = "closed"
kind = "closed"
users = 2
[[loads]]
name = "open"
kind = "open"
rate_rps = 40.0
"""
LENIENT = REFUSE_NOTHING


@pytest.mark.parametrize("pairs", [False, True])
def test_an_unscored_model_is_measured_and_sized(tmp_path, monkeypatch, capsys, pairs):
    monkeypatch.chdir(tmp_path)
    write_bundle(tmp_path / "made", pairs=pairs)
    publish(alter(tmp_path / "made", tmp_path / "unscored", evaluations={}), tmp_path / "registry")
    (tmp_path / "own.toml").write_text(SCENARIO)

    assert main(["run", "own.toml", "--registry", "registry"], criteria=LENIENT) == 0
    (folder,) = (tmp_path / "reports").iterdir()
    (variant,) = read_report(folder)["variants"]

    assert variant["accuracy"] is None
    assert set(variant["loads"]["open"]["status"]) == {"200"}
    assert "its accuracy is unknown, because it was not evaluated" in capsys.readouterr().out
    settle(folder)
    wanted = ["--slo-p99-ms", "10000", "--min-accuracy", "0.8", "--rps", "100"]
    assert main(["recommend", *wanted]) == 0
    assert "--min-accuracy was not checked" in capsys.readouterr().out


def test_a_family_of_numbers_alone_is_one_sentence_and_status_2(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    write_tensor_bundle(tmp_path / "made")
    publish(tmp_path / "made", tmp_path / "registry")
    (tmp_path / "own.toml").write_text(SCENARIO)

    assert main(["run", "own.toml", "--registry", "registry"]) == 2

    (said,) = capsys.readouterr().err.splitlines()
    assert "it reads rows of numbers, and a load test sends texts" in said
