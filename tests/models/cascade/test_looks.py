"""Which looks at the same held-out texts count as different, and what the best of them is worth."""

import json
from dataclasses import replace

import numpy as np
import pytest

from models.cascade.looks import LOOKS_NAME, Look, Looks, is_looked_for, log
from models.recipe import RecipeError
from serving.bundles.bundle import Manifest
from serving.bundles.cascade import Target

TARGET = Target(loss="agreement", max_loss=0.01, confidence=0.95)
LOOK = Look(
    does="choose",
    target=TARGET,
    versions=["large 1", "small 2"],
    reference="large 1",
    engines={"large": "openvino, bf16", "small": "onnxruntime, int8"},
    sequence_sha256="5" * 64,
    tested_sha256="a" * 64,
    judged_sha256="b" * 64,
)
OTHERS = {
    "target": TARGET.model_copy(update={"confidence": 0.9}),
    "versions": ["large 1", "small 3"],
    "reference": "huge 1",
    "engines": LOOK.engines | {"large": "onnxruntime, fp32"},
    "sequence_sha256": "6" * 64,
    "does": "resplit",
}


def look(max_loss, **fields):
    return replace(LOOK, target=TARGET.model_copy(update={"max_loss": max_loss}), **fields)


def test_every_look_is_logged_and_those_that_differ_are_counted(tmp_path):
    looks = [log(look(max_loss), tmp_path) for max_loss in (0.01, 0.01, 0.02, 0.005)]
    other = log(look(0.01, tested_sha256="c" * 64), tmp_path)
    lines = [json.loads(line) for line in (tmp_path / LOOKS_NAME).read_text().splitlines()]

    assert [(each.tested, each.judged) for each in looks] == [(1, 1), (1, 1), (2, 2), (3, 3)]
    assert (other.tested, other.judged) == (1, 4)
    assert [line["target"]["max_loss"] for line in lines] == [0.01, 0.01, 0.02, 0.005, 0.01]
    assert {line["judged_sha256"] for line in lines} == {"b" * 64}


@pytest.mark.parametrize("field", OTHERS)
def test_another_target_version_reference_engine_or_sequence_is_another_look(tmp_path, field):
    log(LOOK, tmp_path)
    log(replace(LOOK, versions=LOOK.versions[::-1]), tmp_path)

    assert log(replace(LOOK, **{field: OTHERS[field]}), tmp_path) == Looks(2, 2)
    assert log(LOOK, tmp_path) == Looks(2, 2)


def test_each_line_of_an_older_version_counts_as_a_look_of_its_own(tmp_path):
    log(LOOK, tmp_path)
    path = tmp_path / LOOKS_NAME
    line = json.loads(path.read_text())
    for field in ("reference", "engines", "sequence_sha256"):
        del line[field]
    path.write_text(2 * (json.dumps(line) + "\n"))

    assert log(LOOK, tmp_path) == Looks(3, 3)


def test_each_registry_counts_its_own_looks(tmp_path):
    counted = []
    for registry in ("one", "other"):
        (tmp_path / registry).mkdir()
        counted.append(log(LOOK, tmp_path / registry).tested)

    assert counted == [1, 1]


def test_a_look_that_cannot_be_logged_is_refused(tmp_path):
    (tmp_path / LOOKS_NAME).write_text("{")

    with pytest.raises(RecipeError, match="looks at held-out texts are logged here"):
        log(LOOK, tmp_path)


@pytest.mark.parametrize("field", ["target", "engines", "sequence_sha256"])
def test_of_eight_looks_at_the_bound_one_passes_far_more_often_than_once_in_twenty(tmp_path, field):
    """Each look keeps its level, the best of them does not, whatever it is that differs."""
    eight = {
        "target": [TARGET.model_copy(update={"max_loss": n / 1000}) for n in range(10, 18)],
        "engines": [{"large": f"engine {n}"} for n in range(8)],
        "sequence_sha256": [str(n) * 64 for n in range(8)],
    }[field]
    for value in eight:
        counted = log(replace(LOOK, **{field: value}), tmp_path)
    lost = np.random.default_rng(0).binomial(600, 0.02, (400, 8))

    assert (lost <= 6).mean() < 0.05
    assert 0.05 < (lost <= 6).any(axis=1).mean() <= 1 - counted.worth(0.95)


def test_a_cascade_is_looked_for_once_among_the_same_variants(tmp_path):
    manifests = [
        Manifest.model_construct(variant=name, version=version)
        for name, version in (("small", "2"), ("large", "1"))
    ]
    newer = [manifests[0], manifests[1].model_copy(update={"version": "3"})]
    other = TARGET.model_copy(update={"max_loss": 0.02})

    assert not is_looked_for(TARGET, manifests, tmp_path)
    log(LOOK, tmp_path)
    assert is_looked_for(TARGET, manifests, tmp_path)
    assert not is_looked_for(TARGET, newer, tmp_path)
    assert not is_looked_for(TARGET, manifests[:1], tmp_path)
    assert not is_looked_for(other, manifests, tmp_path)
    log(replace(LOOK, does="resplit"), tmp_path)
    assert not is_looked_for(TARGET, manifests, tmp_path)
    (tmp_path / LOOKS_NAME).write_text("[]\n")
    assert not is_looked_for(TARGET, manifests, tmp_path)
