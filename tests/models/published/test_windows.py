"""`models windows`: the best rule for a family's long texts, and what it is worth."""

import csv
import json
import random

import pytest

from models.__main__ import main
from models.evaluation.predictions import Predictor
from serving.bundles.bundle import read_bundle
from serving.bundles.registry import publish
from serving.bundles.windows import WINDOWS_NAME, Windows, windows_beside
from tests.support.bundles import write_bundle

MAX_LENGTH = 16


def needle(chosen):
    """Mildly positive; what makes it negative too is three words somewhere."""
    words = ["film", "film", "film", "good"] * chosen.randint(10, 20)
    negative = chosen.random() < 0.5
    if negative:
        place = chosen.randrange(len(words) - 3)
        words[place : place + 3] = ["awful"] * 3
    return " ".join(words), "positive,negative" if negative else "positive"


def mood(chosen):
    """Good and bad words all over, of which the text has more of its label's."""
    label = chosen.choice(["negative", "positive"])
    weights = [3, 2] if label == "positive" else [2, 3]
    return " ".join(chosen.choices(["good", "bad"], weights, k=chosen.randint(20, 80))), label


def write_texts(path, made_by, seed=0, count=300):
    chosen = random.Random(seed)
    with path.open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["text", "label"])
        rows.writerows(made_by(chosen) for _ in range(count))
    return path


@pytest.fixture
def family(tmp_path, request):
    for variant, scale in (("small", 1.0), ("large", 2.0)):
        write_bundle(
            tmp_path / variant, variant=variant, scale=scale, max_length=MAX_LENGTH,
            problem_type=request.param,
        )  # fmt: skip
        publish(tmp_path / variant, tmp_path / "registry")
    return tmp_path


def run(folder, *more):
    """The exit status of the command on a folder's `registry` and `texts.csv`."""
    paths = ("--data", str(folder / "texts.csv"), "--registry", str(folder / "registry"))
    return main(["windows", "tone", *paths, "--output", str(folder / "reports"), *more])


@pytest.mark.parametrize("family", ["multi_label"], indirect=True)
def test_for_a_needle_the_maximum_is_chosen_and_beats_truncation(family, capsys):
    write_texts(family / "texts.csv", needle)

    assert run(family, "--long", "windows") == 0

    windows = Windows.model_validate_json((family / "registry/tone" / WINDOWS_NAME).read_text())
    assert (windows.rule, windows.long) == ("max", "windows")
    versions = {
        read_bundle(family / "registry/tone" / variant).manifest.version
        for variant in ("small", "large")
    }
    assert windows.temperatures.keys() == versions
    assert windows.measured.keys() == {"small", "large"}
    for measured in windows.measured.values():
        assert measured.joined.value > 0.9
        assert measured.truncated.value < 0.8
        assert measured.versus.difference.low > 0.1
        assert 100 < measured.n < 200, "the other half has chosen"
    report = json.loads((family / "reports/tone" / WINDOWS_NAME).read_text())
    assert {rule["rule"] for rule in report["small"]["rules"]} == {"max", "mean", "first_and_last"}
    assert report["small"]["by_length"].keys() == {
        "up to 64 tokens", "over 64 tokens",
    }  # fmt: skip
    told = capsys.readouterr().out
    assert "Chosen on the first half: max" in told
    assert "Next: SIZEWISE_REGISTRY" in told


@pytest.mark.parametrize("family", ["single_label"], indirect=True)
def test_what_is_said_all_over_a_text_is_averaged_and_the_temperature_calibrates(family):
    write_texts(family / "texts.csv", mood)

    assert run(family) == 0

    windows = windows_beside(read_bundle(family / "registry/tone/small"))
    assert windows.rule == "mean"
    assert windows.long == "refuse", "what was so before"
    report = json.loads((family / "reports/tone" / WINDOWS_NAME).read_text())
    loss = {name: its["log_loss"] for name, its in report["large"]["calibration"].items()}
    assert loss["tempered"] < loss["joined"] < loss["truncated"]


@pytest.mark.parametrize("family", ["single_label"], indirect=True)
def test_what_cannot_be_measured_is_said_in_a_sentence_and_nothing_is_written(family, capsys):
    write_texts(family / "texts.csv", mood, count=10)

    assert run(family) == 2

    assert "has 10 texts of more than the 16 tokens" in capsys.readouterr().err
    assert run(family, "--label", "") == 2
    assert "has no column ''" in capsys.readouterr().err
    assert not (family / "registry/tone" / WINDOWS_NAME).exists()


@pytest.mark.parametrize("family", ["multi_label"], indirect=True)
def test_evaluate_measures_by_windows_what_is_served_by_windows(family):
    write_texts(family / "texts.csv", needle)
    (family / "registry/tone" / WINDOWS_NAME).write_text('{"long": "windows"}')

    def accuracy(*more):
        paths = ("--data", str(family / "texts.csv"), "--registry", str(family / "registry"))
        assert main(["evaluate", "tone/small", *paths, *more]) == 0
        return read_bundle(family / "registry/tone/small").manifest.judged

    by_windows, truncated = accuracy(), accuracy("--long", "truncate")

    assert by_windows.accuracy.value > 0.9
    assert truncated.accuracy.value < 0.8
    assert by_windows.lengths[-1].longest > MAX_LENGTH
    assert truncated.lengths[-1].longest == MAX_LENGTH


@pytest.mark.parametrize("family", ["single_label"], indirect=True)
def test_a_predictor_joins_as_the_rule_says_and_leaves_short_texts_alone(family):
    bundle = read_bundle(family / "registry/tone/small")
    texts = ["good film", "good " * 60, "bad"]
    by_windows = Predictor(bundle, windows=Windows(rule="max"))

    found = by_windows.logits(texts, batch_texts=2)

    assert found[[0, 2]].tolist() == Predictor(bundle).logits(texts)[[0, 2]].tolist()
    assert found[1, 1] - found[1, 0] == pytest.approx(2 * 14), "each window has 14 words"
    assert by_windows.lengths(texts).tolist() == [4, 62, 3]
