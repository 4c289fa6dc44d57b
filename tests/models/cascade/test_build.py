"""The command on three tiny bundles: the smaller ones read only the first words of a text."""

import json
import random
import re

import numpy as np
import pytest

from models.__main__ import main
from models.cascade import observations
from models.cascade.costs import Costs, machine, measured
from models.evaluation.predictions import Answerer
from serving.bundles.bundle import read_bundle
from serving.bundles.cascade import CASCADE_NAME, Cascade, check_cascade
from serving.bundles.files import parse
from serving.bundles.registry import publish, read_registry
from tests.support.bundles import WEIGHTS, write_bundle

READS = {"large": 32, "medium": 6, "small": 4}
COST_S = {"large": 9e-3, "medium": 3e-3, "small": 1e-3}
LABELS = ["negative", "positive"]
SPLITS = {"validation": 400, "calibration": 400, "test": 500}


def text_and_label(chosen):
    """Up to seven words, of which the first say most; some labels are wrong."""
    words = chosen.choices(list(WEIGHTS), k=chosen.randint(1, 2))
    words += chosen.choices([*WEIGHTS, *["film", "plot"] * 6], k=chosen.randint(0, 5))
    positive = sum(WEIGHTS.get(word, 0) for word in words) > 0
    return " ".join(words), int(positive != (chosen.random() < 0.05))


@pytest.fixture(scope="module")
def tone(tmp_path_factory):
    """A folder to run the command in: the registry and the held-out texts of `tone`."""
    home = tmp_path_factory.mktemp("tone")
    for variant, max_length in READS.items():
        ballast = {"large": 3000, "medium": 2000, "small": 0}[variant]
        write_bundle(home / variant, variant=variant, max_length=max_length, ballast_bytes=ballast)
        publish(home / variant, home / "registry")
    write_bundle(home / "pairs", variant="pairs", pairs=True)
    publish(home / "pairs", home / "registry")
    data = home / "build" / "tone" / "large" / "data"
    data.mkdir(parents=True)
    (data / "data.json").write_text(json.dumps({"labels": LABELS, "problem_type": "single_label"}))
    chosen = random.Random(0)
    for split, count in SPLITS.items():
        rows = [text_and_label(chosen) for _ in range(count)]
        lines = (json.dumps({"text": text, "labels": [label]}) + "\n" for text, label in rows)
        (data / f"{split}.jsonl").write_text("".join(lines))
    return home


@pytest.fixture(autouse=True)
def _at_home(tone, monkeypatch):
    """Costs are fixed, because the tiny graphs' own are noise."""
    monkeypatch.chdir(tone)

    def fixed(loaded, texts):
        costs = np.array([COST_S[name] for name in loaded])
        return Costs(costs, np.repeat(2 * costs[:, None], len(texts[:50]), axis=1))

    monkeypatch.setattr(observations, "measured", fixed)


def run(*options):
    return main(["cascade", "tone", "--registry", "registry", *options])


def written(tone):
    manifests = {b.manifest.variant: b.manifest for b in read_registry(tone / "registry")["tone"]}
    path = tone / "registry/tone" / CASCADE_NAME
    cascade = parse(Cascade, path.read_text(), path)
    check_cascade(cascade, manifests)
    return cascade


def test_the_file_holds_its_promise_on_the_test_split_and_says_what_to_do_next(tone, capsys):
    assert run("--max-loss", "0.05") == 0

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
    assert "with hindsight would save" in told
    assert 'Next: SIZEWISE_REGISTRY=registry python -m serving, then ask with "variant"' in told
    assert (tone / "reports/tone/cascade.png").stat().st_size > 10_000
    assert [path.name for path in (tone / "registry/tone").glob(".*")] == []


def test_the_file_s_stages_answer_as_often_as_it_says(tone):
    run("--max-loss", "0.05")
    cascade = written(tone)
    rows = (tone / "build/tone/large/data/calibration.jsonl").read_text().splitlines()
    texts = [json.loads(row)["text"] for row in rows]
    first = cascade.stages[0]
    bundle = read_bundle(tone / "registry/tone" / first.variant)

    sure = [first.sure(row, multi_label=False) for row in Answerer(bundle).logits(texts).tolist()]

    assert 1 - np.mean(sure) == pytest.approx(cascade.stages[1].reach)


@pytest.mark.parametrize(
    ("options", "refusal"),
    [
        (
            ["--max-loss", "0.001"],
            r"n = 400 texts cannot show a loss of at most 0.10% at 95%: .* it takes 2,995; at the",
        ),
        (["--max-loss", "1.5"], "--max-loss 1.5: "),
        (["--variants", "small"], "has 1 variants that can be asked in turn"),
        (["--variants", "huge"], "has no huge: there are"),
        (["--recalibrate", "absent.csv"], "absent.csv"),
        (["--resplit", "-1"], "--resplit -1: a positive number"),
    ],
)
def test_what_cannot_be_done_is_refused_with_status_2(tone, capsys, options, refusal):
    before = (tone / "registry/tone/cascade.json").read_bytes()

    assert run(*options) == 2

    assert re.search(refusal, capsys.readouterr().err)
    assert (tone / "registry/tone/cascade.json").read_bytes() == before


def test_a_cascade_that_costs_no_less_than_the_reference_is_refused(capsys, monkeypatch):
    monkeypatch.setitem(COST_S, "large", 1e-4)

    assert run("--max-loss", "0.05") == 2

    assert "no cascade of these variants costs less than large alone" in capsys.readouterr().err


def test_an_unknown_family_is_refused(capsys):
    assert main(["cascade", "mood", "--registry", "registry"]) == 2

    assert "has no family mood" in capsys.readouterr().err


def test_it_is_recalibrated_from_labelled_traffic(tone):
    chosen = random.Random(1)
    rows = [text_and_label(chosen) for _ in range(2500)]
    lines = (json.dumps({"text": text, "label": LABELS[label]}) + "\n" for text, label in rows)
    (tone / "traffic.jsonl").write_text("".join(lines))

    assert run("--loss", "accuracy", "--max-loss", "0.1", "--recalibrate", "traffic.jsonl") == 0

    cascade = written(tone)
    assert cascade.target.loss == "accuracy"
    assert cascade.n == len({text for text, _ in rows}) - len({text for text, _ in rows}) // 2


def test_the_guarantee_may_be_for_each_label(tone):
    assert run("--max-loss", "0.1", "--each-label") == 0

    assert written(tone).target.each_label


def test_named_variants_are_held_against_the_largest(tone):
    assert run("--max-loss", "0.25", "--variants", "small,medium") == 0

    cascade = written(tone)
    assert [stage.variant for stage in cascade.stages] == ["small", "medium"]
    assert cascade.reference.variant == "large"


def test_re_splits_are_reported_and_write_nothing(tone, capsys):
    before = (tone / "registry/tone/cascade.json").read_bytes()

    assert run("--max-loss", "0.05", "--resplit", "3") == 0

    told = capsys.readouterr().out
    assert "3 re-splits, loss of agreement at most 5.00% at 95%" in told
    assert "Next: python -m models cascade tone --registry registry" in told
    assert (tone / "registry/tone/cascade.json").read_bytes() == before


def test_costs_are_measured_in_batches_and_alone(tone):
    bundle = read_bundle(tone / "registry/tone/small")

    costs = measured({"small": Answerer(bundle)}, ["good film", "awful plot"] * 20)

    assert costs.batched_s.shape == (1,)
    assert costs.alone_s.shape == (1, 40)
    assert (costs.alone_s > 0).all()
    assert "cores" in machine()
