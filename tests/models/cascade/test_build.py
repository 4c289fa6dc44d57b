"""Cascades of three tiny bundles: the smaller ones read only the first words of a text."""

import json
import random
import re
from pathlib import Path

import numpy as np
import pytest

from models.__main__ import main
from models.cascade import build
from models.cascade.costs import Costs, machine, measured
from models.cascade.options import CascadeOptions, parse_target
from models.evaluation.predictions import Predictor
from models.recipe import RecipeError
from serving.bundles.bundle import read_bundle
from serving.bundles.cascade import CASCADE_NAME, Cascade, check_cascade
from serving.bundles.files import parse
from serving.bundles.registry import publish, read_registry
from serving.bundles.windows import Windows
from tests.support.bundles import write_bundle
from tests.support.tone_family import LABELS, SPLITS, text_and_label, write_tone

COST_S = {"large": 9e-3, "medium": 3e-3, "small": 1e-3}


@pytest.fixture(scope="module")
def tone(tmp_path_factory):
    """A folder with the registry and the held-out texts of `tone`."""
    home = tmp_path_factory.mktemp("tone")
    write_tone(home)
    write_bundle(home / "pairs", variant="pairs", pairs=True)
    publish(home / "pairs", home / "registry")
    return home


def fixed(cost_s):
    """Measures nothing, because the tiny graphs' own costs are noise."""

    def measure(loaded, texts):
        costs = np.array([cost_s[name] for name in loaded])
        return Costs(costs, np.repeat(2 * costs[:, None], len(texts[:50]), axis=1))

    return measure


def options_for(tone, max_loss=0.05, loss="agreement", each_label=False, **fields):
    target = parse_target(loss=loss, max_loss=max_loss, confidence=0.95, each_label=each_label)
    return CascadeOptions("tone", tone / "registry", tone / "build", target, **fields)


def run(tone, cost_s=COST_S, **fields):
    build.run(options_for(tone, **fields), tone / "reports/tone", fixed(cost_s))


def written(tone):
    manifests = {b.manifest.variant: b.manifest for b in read_registry(tone / "registry")["tone"]}
    path = tone / "registry/tone" / CASCADE_NAME
    cascade = parse(Cascade, path.read_text(), path)
    check_cascade(cascade, manifests)
    return cascade


def test_the_file_keeps_its_promise_and_the_report_and_picture_are_written(tone, capsys):
    run(tone)

    told = capsys.readouterr().out
    cascade = written(tone)
    assert [stage.variant for stage in cascade.stages][-1] in {"medium", "large"}
    assert cascade.reference.variant == "large"
    assert cascade.loss <= cascade.bound <= 0.05
    assert cascade.n == SPLITS["calibration"]
    assert cascade.stages[0].reach == 1
    assert cascade.escalation.value == pytest.approx(cascade.stages[1].reach)
    expected = cascade.expected
    assert 0 < expected.cost_s < expected.reference_cost_s == COST_S["large"]
    assert expected.reference_p50_ms == pytest.approx(2000 * COST_S["large"])
    assert expected.p50_ms < expected.reference_p50_ms
    assert cascade.versus.difference.value == pytest.approx(
        (cascade.versus.better - cascade.versus.worse) / SPLITS["test"]
    )
    assert "pairs is left out" in told
    assert "the best thresholds, which only the test split could have told, would save" in told
    assert f"Wrote {tone}/registry/tone/cascade.json and {tone}/reports/tone/cascade.png" in told
    assert (tone / "reports/tone/cascade.png").stat().st_size > 10_000
    assert [path.name for path in (tone / "registry/tone").glob(".*")] == []


def test_the_file_s_stages_answer_as_often_as_it_says(tone):
    run(tone)
    cascade = written(tone)
    rows = (tone / "build/tone/large/data/calibration.jsonl").read_text().splitlines()
    texts = [json.loads(row)["text"] for row in rows]
    first = cascade.stages[0]
    bundle = read_bundle(tone / "registry/tone" / first.variant)

    sure = [
        first.sure(row, LABELS, multi_label=False)
        for row in Predictor(bundle).logits(texts).tolist()
    ]

    assert 1 - np.mean(sure) == pytest.approx(cascade.stages[1].reach)
    assert sum(first.confidences) == pytest.approx(1)
    below = int(20 * first.threshold)
    around = np.cumsum(first.confidences)[[below - 1, below]]
    assert around[0] <= cascade.stages[1].reach <= around[1]
    assert cascade.stages[-1].confidences is None


def test_a_cascade_of_texts_in_windows_is_calibrated_as_it_is_served(tone, capsys):
    run(tone, long="windows", max_loss=0.05)

    cascade, told = written(tone), capsys.readouterr().out
    manifests = {b.manifest.variant: b.manifest for b in read_registry(tone / "registry")["tone"]}
    stages = [manifests[stage.variant] for stage in cascade.stages]
    assert cascade.long == "windows"
    assert cascade.windows_hash == Windows().fingerprint(stages)
    assert "long texts in windows" in told
    rows = (tone / "build/tone/large/data/calibration.jsonl").read_text().splitlines()
    texts = [json.loads(row)["text"] for row in rows]
    first = cascade.stages[0]
    bundle = read_bundle(tone / "registry/tone" / first.variant)
    reach = {}
    for windows in (None, Windows()):
        logits = Predictor(bundle, windows=windows).logits(texts).tolist()
        sure = [first.sure(row, LABELS, multi_label=False) for row in logits]
        reach[bool(windows)] = 1 - np.mean(sure)
    assert cascade.stages[1].reach == pytest.approx(reach[True])
    assert cascade.stages[1].reach != pytest.approx(reach[False])


@pytest.mark.parametrize(
    ("fields", "refusal"),
    [
        (
            {"max_loss": 0.001},
            r"n = 400 texts cannot show a loss of at most 0.10% at 95%: .* 2,995 texts; at the",
        ),
        ({"max_loss": 1.5}, "--max-loss 1.5: "),
        ({"variants": ["small"]}, "has 1 variants that a cascade can use, and it needs two"),
        ({"variants": ["huge"]}, "has no huge: choose from"),
        ({"recalibrate": Path("absent.csv")}, "absent.csv does not exist"),
        ({"cost_s": COST_S | {"large": 1e-4}}, "costs less than large alone: serve large"),
    ],
)
def test_what_cannot_be_done_is_refused_and_the_file_stays(tone, fields, refusal):
    run(tone)
    before = (tone / "registry/tone/cascade.json").read_bytes()

    with pytest.raises(RecipeError, match=refusal):
        run(tone, **fields)

    assert (tone / "registry/tone/cascade.json").read_bytes() == before


@pytest.mark.parametrize(
    ("options", "refusal"),
    [
        (["mood"], "has no family mood: choose from tone"),
        (["tone", "--max-loss", "1.5"], "--max-loss 1.5: "),
        (["tone", "--resplit", "-1"], "--resplit -1: choose a positive number"),
    ],
)
def test_the_command_refuses_with_status_2_and_one_sentence(
    tone, monkeypatch, capsys, options, refusal
):
    monkeypatch.chdir(tone)

    assert main(["cascade", *options, "--registry", "registry"]) == 2

    told = capsys.readouterr().err
    assert refusal in told
    assert len(told.splitlines()) == 1


def test_it_is_recalibrated_from_labelled_traffic(tone):
    chosen = random.Random(1)
    rows = [text_and_label(chosen) for _ in range(2500)]
    lines = (json.dumps({"text": text, "label": LABELS[label]}) + "\n" for text, label in rows)
    path = tone / "traffic.jsonl"
    path.write_text("".join(lines))

    run(tone, max_loss=0.1, loss="accuracy", recalibrate=path)

    cascade = written(tone)
    assert cascade.target.loss == "accuracy"
    assert cascade.n == 1250


@pytest.mark.parametrize(
    ("rows", "refusal"),
    [(n, rf"few\.csv: {n // 2} texts to order, .* provide at least 2") for n in range(1, 4)]
    + [(n, f"n = {n - n // 2} texts cannot show a loss") for n in range(4, 8)],
)
def test_a_table_of_too_few_rows_is_refused(tone, rows, refusal):
    """A single row, or one text to order candidates by, was an IndexError."""
    path = tone / "few.csv"
    path.write_text("text\n" + "".join(f"good film {n}\n" for n in range(rows)))

    with pytest.raises(RecipeError, match=refusal):
        run(tone, recalibrate=path)


def looks_at_calibration(tone, capsys, **fields):
    """The number of looks that the report of one more run counts."""
    capsys.readouterr()
    run(tone, max_loss=0.07, **fields)
    return int(re.search(r"and (\d+) at the calibration texts", capsys.readouterr().out)[1])


def test_the_same_candidates_are_one_look_and_other_ones_or_engines_are_others(tone, capsys):
    """Costs change the order of the candidates, so what is tested under the same target."""
    run(tone, max_loss=0.06, engine="onnxruntime")
    first = looks_at_calibration(tone, capsys, engine="onnxruntime")

    assert looks_at_calibration(tone, capsys, engine="onnxruntime") == first
    dear = COST_S | {"medium": 8e-3}
    assert looks_at_calibration(tone, capsys, engine="onnxruntime", cost_s=dear) == first + 1
    assert looks_at_calibration(tone, capsys, engine="openvino") == first + 2


def test_variants_are_timed_on_texts_that_test_nothing(tone):
    timed = []

    def measure(loaded, texts):
        timed.extend(texts)
        return fixed(COST_S)(loaded, texts)

    build.run(options_for(tone), tone / "reports/tone", measure)

    def texts_of(split):
        rows = (tone / f"build/tone/large/data/{split}.jsonl").read_text().splitlines()
        return sorted(json.loads(row)["text"] for row in rows)

    assert sorted(timed) == texts_of("validation")


def test_the_guarantee_may_be_for_each_label(tone):
    run(tone, max_loss=0.1, each_label=True)

    assert written(tone).target.each_label


def test_named_variants_are_held_against_the_largest(tone):
    run(tone, max_loss=0.25, variants=["small", "medium"])

    cascade = written(tone)
    assert [stage.variant for stage in cascade.stages] == ["small", "medium"]
    assert cascade.reference.variant == "large"


def test_re_splits_are_reported_and_write_nothing(tone, monkeypatch, capsys):
    run(tone)
    before = (tone / "registry/tone/cascade.json").read_bytes()
    monkeypatch.chdir(tone)

    status = main(
        ["cascade", "tone", "--registry", "registry", "--max-loss", "0.05", "--resplit", "3"]
    )

    assert status == 0
    told = capsys.readouterr().out
    assert "3 re-splits, loss of agreement at most 5.00% at 95%" in told
    assert "Next: python -m models cascade tone --registry registry" in told
    assert (tone / "registry/tone/cascade.json").read_bytes() == before


def test_costs_are_measured_in_batches_and_alone(tone):
    bundle = read_bundle(tone / "registry/tone/small")

    costs = measured({"small": Predictor(bundle)}, ["good film", "awful plot"] * 20)

    assert costs.batched_s.shape == (1,)
    assert costs.latencies_s.shape == (1, 40)
    assert (costs.latencies_s > 0).all()
    assert "cores" in machine()
