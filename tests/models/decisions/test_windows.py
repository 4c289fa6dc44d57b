"""Thresholds of texts in windows: the highest of many windows is not what a beginning scores.

A scale of a quarter keeps logits exact, so that equal texts score alike in any batch.
"""

import json
import random

import numpy as np
import pytest

from models.__main__ import main
from models.evaluation.predictions import Predictor
from serving.bundles.bundle import read_bundle
from serving.bundles.decisions import DECISIONS_NAME, Decisions
from serving.bundles.registry import publish, read_registry
from serving.bundles.windows import WINDOWS_NAME, Windows
from tests.support.bundles import LABELS, write_bundle
from tests.support.cascades import write_cascade
from tests.support.processes import serving

LIMIT = 0.2
READS = {"small": 16, "large": 24}
SPLITS = {"validation": 10, "calibration": 600, "test": 600}
MAX = Windows(rule="max", long="windows")


def row(chosen):
    """Words that cancel out; what makes a text positive is five of another somewhere."""
    words = chosen.choices(["film", "good", "bad"], k=chosen.randint(20, 100))
    positive = chosen.random() < 0.5
    if positive:
        words.insert(chosen.randrange(len(words)), "great great great great great")
    return {"text": " ".join(words), "labels": [1] if positive else []}


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A folder with the registry and the held-out texts of a multi-label family."""
    home = tmp_path_factory.mktemp("tone")
    for variant, max_length in READS.items():
        write_bundle(
            home / variant, variant=variant, max_length=max_length, scale=0.25,
            problem_type="multi_label", ballast_bytes=1000 * (variant == "large"),
        )  # fmt: skip
        publish(home / variant, home / "registry")
    write_cascade(home / "registry", versions(home), threshold=0.8)
    data = home / "build/tone/large/data"
    data.mkdir(parents=True)
    (data / "data.json").write_text(json.dumps({"labels": LABELS, "problem_type": "multi_label"}))
    chosen = random.Random(0)
    for split, count in SPLITS.items():
        lines = (json.dumps(row(chosen)) + "\n" for _ in range(count))
        (data / f"{split}.jsonl").write_text("".join(lines))
    return home


def versions(home):
    found = read_registry(home / "registry")["tone"]
    return {b.manifest.variant: b.manifest.version for b in found}


@pytest.fixture
def decide(home, monkeypatch, capsys):
    """Run the command; return decisions.json and what it printed."""
    monkeypatch.setattr("models.__main__.BUILD", home / "build")

    def run(*options, windows=MAX):
        (home / "registry/tone" / WINDOWS_NAME).write_text(windows.model_dump_json())
        paths = ["--registry", str(home / "registry"), "--output", str(home / "reports")]
        limit = ["--label", "positive", "--max-false-positive-rate", str(LIMIT)]
        assert main(["decide", "tone", *limit, *options, *paths, "--engine", "onnxruntime"]) == 0
        path = home / "registry/tone" / DECISIONS_NAME
        return Decisions.model_validate_json(path.read_text()), capsys.readouterr().out

    return run


def judging(home):
    rows = (home / "build/tone/large/data/test.jsonl").read_text().splitlines()
    texts = [json.loads(each)["text"] for each in rows]
    return texts, np.array([json.loads(each)["labels"] == [1] for each in rows])


def test_a_threshold_of_truncated_texts_breaks_its_promise_in_windows_and_their_own_keeps_it(
    home, decide
):
    truncated, _ = decide("--long", "truncate")
    in_windows, _ = decide("--long", "windows")
    texts, positive = judging(home)

    for at, (variant, broken_by) in enumerate((("small", 2), ("large", 1.4))):
        bundle = read_bundle(home / "registry/tone" / variant)
        logits = Predictor(bundle, windows=MAX).logits(texts)
        scores = 1 / (1 + np.exp(-logits[:, 1]))
        (cut,), (own,) = truncated.deciders[at].labels, in_windows.deciders[at].labels
        assert truncated.deciders[at].variant == variant
        assert cut.false_positive_rate.value <= LIMIT, "truncated, it is kept"
        assert (scores[~positive] >= cut.threshold).mean() > broken_by * LIMIT
        assert (scores[~positive] >= own.threshold).mean() <= LIMIT
        assert own.false_positive_rate.value == (scores[~positive] >= own.threshold).mean()
        assert own.recall.value > cut.recall.value + 0.2, "which sees the beginning alone"


def test_without_an_option_long_texts_are_read_as_the_family_s_default_says(decide):
    in_windows, said = decide()
    assert in_windows.long == "windows"
    assert all(each.windows_hash for each in in_windows.deciders)
    assert "they were answered in windows. A server decides no long text that is truncated." in said

    for default in ("refuse", "truncate"):
        cut, said = decide(windows=Windows(long=default))
        assert cut.long == "truncate"
        assert "they were truncated. A server decides no long text that is answered in" in said


def test_a_server_flags_in_windows_exactly_what_the_judging_texts_say(home, decide):
    decisions, _ = decide()
    texts, positive = judging(home)

    with serving(home / "registry", engine="onnxruntime") as server:
        for decider in decisions.deciders:
            flags, windows = [], []
            for at in range(0, len(texts), 50):
                body = {
                    "texts": texts[at : at + 50],
                    "variant": decider.variant or "auto",
                    "allow_degraded": False,
                }
                answer = server.classify(body).json()
                flags += [each["flagged"] for each in answer["results"]]
                windows += [
                    each["windows"]["count"] for each in answer["results"] if "windows" in each
                ]
            (label,) = decider.labels
            assert label.recall.value == np.array(flags)[positive].mean()
            assert label.false_positive_rate.value == np.array(flags)[~positive].mean()
            assert max(windows) > 5

    assert [each.name for each in decisions.deciders] == ["small", "large", "cascade"]


def test_re_splits_are_of_texts_in_windows(decide):
    rates = {}
    for long in ("truncate", "windows"):
        _, said = decide("--long", long, "--resplit", "20")
        cells = [line.split("|") for line in said.splitlines() if "small, with repl" in line]
        rates[long] = [cell.strip() for cell in cells[0]]

    assert float(rates["windows"][4].split()[0]) <= 20, "missed"
    assert float(rates["windows"][6]) > float(rates["truncate"][6]) + 20, "power"
