"""Decisions of a cascade whose smaller variants end a text only with some labels."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.__main__ import main
from models.cascade import build
from models.decisions.thresholds import allowances, allowed_errors, threshold
from models.evaluation.predictions import Predictor
from serving.bundles.bundle import read_bundle
from serving.bundles.cascade import Cascade
from serving.bundles.decisions import ENDED_WITH, ENDED_WITHOUT, Decisions
from serving.bundles.probabilities import softmax
from tests.support.decision_problems import at_least, at_most, normal_scores
from tests.support.processes import serving
from tests.support.tone_family import LABELS, cascade_options, measured


def rows_of(tone, split):
    path = tone / f"build/tone/large/data/{split}.jsonl"
    return [json.loads(row) for row in path.read_text().splitlines()]


@pytest.mark.parametrize("early", ["negative", "positive"])
@pytest.mark.parametrize(
    "limit", [["--max-false-positive-rate", "0.2"], ["--min-recall", "0.8"]], ids=["rate", "recall"]
)
def test_a_one_sided_cascade_is_decided_as_a_server_does(tone, decide, early, limit, tmp_path):
    path = tone / "registry/tone/cascade.json"
    before = path.read_text()
    try:
        build.run(cascade_options(tone, early_labels=[early]), tmp_path, measured)
        cascade = Cascade.model_validate_json(path.read_text())
        status, said = decide("--label", "positive", *limit)
        rows = rows_of(tone, "test")[:32]
        with serving(tone / "registry") as server:
            asked = {"texts": [row["text"] for row in rows], "long": "truncate"}
            answer = server.classify(asked)
            named = server.classify(asked | {"variant": "small"})
    finally:
        path.write_text(before)

    made = Decisions.model_validate_json((tone / "registry/tone/decisions.json").read_text())
    (label,) = next(each.labels for each in made.deciders if each.variant is None)
    stages = {stage.variant: stage for stage in cascade.stages}
    last = cascade.stages[-1].variant
    assert status == 0
    assert f"a text that {' or '.join(sorted(cascade.one_sided))} ends is flagged" in said
    assert all(stages[each].early_labels == [early] for each in stages if each != last)
    assert (answer.status_code, named.status_code) == (200, 200), answer.text
    results = answer.json()["results"]
    ended = [each for each in results if each["variant"] != last]
    assert 0 < len(ended) < len(results)
    assert {each["label"] for each in ended} == {early}
    assert {each["flagged"] for each in ended} == {early == "positive"}
    assert "flagged" in named.json()["results"][0]
    for each in results:
        if each["variant"] == last:
            assert each["flagged"] == (each["scores"]["positive"] >= label.threshold)

    rows = rows_of(tone, "calibration")
    texts = [row["text"] for row in rows]
    logits = {
        variant: Predictor(read_bundle(tone / "registry/tone" / variant)).logits(texts)
        for variant in stages
    }
    flagged = []
    for at in range(len(logits[last])):
        for stage in cascade.stages:
            own = logits[stage.variant][at].tolist()
            if stage.sure(own, LABELS, multi_label=False):
                break
        by_score = softmax(own)[1] >= label.threshold
        flagged.append(by_score if stage.variant == last else early == "positive")
    has_label = np.array([row["labels"] == [1] for row in rows])
    wrong = np.array(flagged) != has_label
    assert label.flagged.value == pytest.approx(np.mean(flagged))
    about = ~has_label if limit[0] == "--max-false-positive-rate" else has_label
    assert label.n == about.sum()
    assert wrong[about].sum() <= allowed_errors(label.n, 0.2, 0.05)


def test_early_labels_are_some_of_the_family_s_and_the_report_names_them(
    tone, tmp_path, monkeypatch, capsys
):
    monkeypatch.setattr("models.__main__.BUILD", tone / "build")
    path = tone / "registry/tone/cascade.json"
    before = path.read_text()
    common = ["cascade", "tone", "--registry", str(tone / "registry"), "--output", str(tmp_path)]
    common += ["--max-loss", "0.3", "--engine", "onnxruntime", "--early-labels"]
    try:
        for labels, reason in (
            (["odd"], "--early-labels: no label 'odd': choose from negative, positive"),
            ([], "--early-labels: without any, no text could end early"),
        ):
            assert main([*common, *labels]) == 2
            assert reason in capsys.readouterr().err
        assert path.read_text() == before
        build.run(cascade_options(tone, early_labels=["negative"]), tmp_path, measured)
        assert "those before it end texts with negative only" in capsys.readouterr().out
        made = Cascade.model_validate_json(path.read_text())
    finally:
        path.write_text(before)
    assert made.stages[0].early_labels == ["negative"]
    looks = (tone / "registry/tone/cascade-looks.jsonl").read_text().splitlines()
    assert json.loads(looks[-1])["early_labels"] == ["negative"]


def verdicts_and_scores(seed, may_flag):
    """A one-sided stage ends half of the texts, rarely wrong; the others have scores."""
    generator = np.random.default_rng(seed)
    scores, truth = normal_scores(generator, 400)
    scores, truth = scores[:, 0], truth[:, 0]
    sure = (generator.random(400) < 0.6) & (truth == may_flag)
    sure |= generator.random(400) < 0.02
    scores[sure] = ENDED_WITH if may_flag else ENDED_WITHOUT
    return scores, truth


@given(st.integers(0, 999), st.booleans(), st.sampled_from([at_most(0.2), at_least(0.8)]))
def test_a_threshold_never_changes_what_a_one_sided_stage_has_decided(seed, may_flag, target):
    scores, truth = verdicts_and_scores(seed, may_flag)
    (allowed,) = allowances([target], truth[:, None], 0.95)

    value = threshold(scores, truth, target, allowed)

    assert 0 <= value <= 1
    flagged = scores >= value
    assert (flagged[(scores < 0) | (scores > 1)] == may_flag).all()
    wrong = (flagged != truth)[truth if target.min_recall else ~truth]
    assert wrong.sum() <= allowed.errors
    others = (scores >= 0) & (scores <= 1)
    assert 0 < flagged[others].mean() < 1


@pytest.mark.parametrize(
    ("target", "score"), [(at_most(0.2), ENDED_WITH), (at_least(0.8), ENDED_WITHOUT)]
)
def test_more_early_errors_than_are_allowed_leave_no_threshold(target, score):
    generator = np.random.default_rng(0)
    scores, truth = normal_scores(generator, 400)
    scores, truth = scores[:, 0], truth[:, 0]
    about = np.flatnonzero(truth if target.min_recall else ~truth)
    (allowed,) = allowances([target], truth[:, None], 0.95)

    scores[about[: allowed.errors]] = score
    assert threshold(scores, truth, target, allowed) is not None
    scores[about[: allowed.errors + 1]] = score
    assert threshold(scores, truth, target, allowed) is None
