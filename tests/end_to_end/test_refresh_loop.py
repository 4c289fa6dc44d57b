"""The loop on shifted traffic: what it divides, chooses, compares, promises and reports."""

import json

import numpy as np
import pytest

from tests.benchmarks.refresh_loop import labelling, promises, report, texts
from tests.benchmarks.refresh_loop.family import alarms
from tests.benchmarks.refresh_loop.loop import A_LOOK, parts
from tests.benchmarks.refresh_loop.steps import Steps

ESTIMATE = {"value": 0.7, "low": 0.6, "high": 0.8}
LOOK = {"feedback": 100, "accuracy": ESTIMATE, "is_lower": False, "drifted": []}
SERVED = {"statuses": {"200": 300}}
OLD, NEW = [["old", True, True]] * 210, [["new", False, True]] * 90
TURN = {
    "refused": None, "outcome": None,
    "versions": {"static-fp32": "new"},
    "collected": {
        "feedback": 160, "tables": 10, "contradictory": 0, "added": {"train": 140, "test": 30},
    },
    "new_test": {"static-fp32": {"texts": 30, "versus": {"difference": ESTIMATE}}},
    "old_test": {"static-fp32": {"texts": 900, "versus": {"difference": ESTIMATE}}},
    "pooled": {"difference": ESTIMATE},
}  # fmt: skip
LOOKS = [TURN, TURN]


def figures(**changes):
    """Those of a run that keeps all promises, but for some steps."""
    accuracy = SERVED | {"held_out": ESTIMATE, "test_split": ESTIMATE}
    found = {
        "before": SERVED | {"answers": OLD, "looks": [LOOK], "alarms": 0},
        "alarm": SERVED
        | {"answers": OLD, "looks": [LOOK], "alarm": {"answers": 200, "feedback": 90}},
        "labelling": {
            "texts": 1700, "accuracy": {way: [0.6, 0.7] for way in labelling.WAYS},
            "gain": {"random": ESTIMATE, "chosen over random": ESTIMATE},
            "shifted": {"random": 0.7, "chosen": 0.6},
        },
        "refresh": SERVED | TURN,
        "canary": SERVED | {"answers": OLD + NEW, "looks": LOOKS, "outcome": "promoted"},
        "poison": SERVED | TURN | {"refused": "static-fp32: accuracy 0.7 is below 0.72"},
        "poison_past_the_gate": SERVED | TURN,
        "bad_canary": SERVED | {"answers": NEW + OLD, "looks": LOOKS, "outcome": "withdrawn"},
    }  # fmt: skip
    return (
        found
        | {f"accuracy_{at}": accuracy for at in ("before", "between", "after", "end")}
        | (changes)
    )


def opinions(count, groups):
    return [texts.Opinion(f"text {n}", "positive", f"group {n % groups}") for n in range(count)]


def test_pools_have_no_group_in_common_and_everything_once():
    given = opinions(600, 150)
    found = texts.pools(given, {"one": 100, "two": 200})

    assert sorted(each for its in found.values() for each in its) == sorted(given)
    assert len(found["one"]) >= 100
    assert len(found["two"]) >= 200
    groups = [{each.group for each in its} for its in found.values()]
    assert sum(map(len, groups)) == 150
    assert found == texts.pools(given, {"one": 100, "two": 200})


def test_pools_that_are_too_large_are_named():
    with pytest.raises(ValueError, match="too few texts for two"):
        texts.pools(opinions(100, 100), {"one": 60, "two": 60})


def test_ratings_near_zero_and_repeated_texts_are_left_out(tmp_path):
    rows = [("Good.", 2.0), ("good", -3.0), ("Bad.", -0.5), ("So so.", 0.4), ("...", 1.0)]
    lines = [json.dumps({"text": t, "rating": r, "group": t}) for t, r in rows]
    (tmp_path / "movies.jsonl").write_text("\n".join(lines))

    assert [each[:2] for each in texts.opinions(tmp_path, ["movies"])] == [
        ("Good.", "positive"), ("Bad.", "negative"),
    ]  # fmt: skip


def test_swapped_labels_are_the_other_ones():
    (one,) = opinions(1, 1)
    assert texts.swapped(one).label == "negative"
    assert texts.swapped(texts.swapped(one)) == one


def test_texts_are_picked_from_a_random_half_in_the_reports_order_and_at_random():
    ranking = [f"text {n:04}" for n in range(1000)]
    mine, other = labelling.picked(ranking, 0, 100), labelling.picked(ranking, 1, 100)

    assert mine["chosen"] == sorted(mine["chosen"])
    assert mine["chosen"][-1] < "text 0300"
    assert max(mine["random"]) > "text 0700"
    assert len(set(mine["random"])) == len(set(mine["chosen"])) == 100
    assert mine["chosen"] != other["chosen"]
    told = labelling.shares(ranking, 3, set(ranking[:500]))
    assert told["chosen"] == 1
    assert told["random"] == pytest.approx(0.5, abs=0.1)


def test_a_gain_has_an_interval_over_seeds_and_texts():
    draw = np.random.default_rng(0)
    other = draw.random((5, 1000)) < 0.6
    mine = other | (draw.random((5, 1000)) < 0.2)

    assert labelling.gain(mine, other).low > 0.04
    assert labelling.gain(other, other).high == 0
    assert labelling.gain(draw.random((5, 1000)) < 0.6, other).low < 0


def test_a_run_that_keeps_its_promises_breaks_none():
    assert promises.broken(figures()) == []


@pytest.mark.parametrize(
    ("step", "change", "sentence"),
    [
        ("before", {"alarms": 1}, "there was an alarm before the traffic changed"),
        ("alarm", {"alarm": None}, "there was no alarm after the traffic had changed"),
        ("canary", {"outcome": "withdrawn"}, "canary: withdrawn, not promoted"),
        ("bad_canary", {"outcome": "promoted"}, "bad_canary: promoted, not withdrawn"),
        ("bad_canary", {"outcome": None}, "bad_canary: undecided, not withdrawn"),
        ("refresh", {"statuses": {"200": 5, "503": 2, "ReadError": 1}}, "3 requests were lost"),
    ],
)
def test_a_broken_promise_is_named(step, change, sentence):
    assert promises.broken(figures(**{step: figures()[step] | change})) == [sentence]


@pytest.mark.parametrize("told", [{"is_lower": True}, {"drifted": ["positive"]}])
def test_lower_accuracy_and_drift_are_alarms(told):
    assert not alarms(LOOK)
    assert alarms(LOOK | told)


def test_a_pool_is_sent_once_between_looks():
    pool = list(range(2 * A_LOOK + 1))
    assert [each for part in parts(pool) for each in part] == pool
    assert len(parts(pool)) == 3


def test_the_report_has_every_step(tmp_path):
    told = figures()
    table = report.table(told)

    assert "| until the alarm: answers, with feedback | 200, 90 |" in table
    assert "| new versions: answers, wrong | 90, 90 |" in table
    assert "| starts of `refresh`, outcome | 1, promoted |" in table
    assert "| refused | accuracy 0.7 is below 0.72 |" in table
    assert "| requests | sent, lost | 3,300, 0 |" in table
    assert json.loads(report.as_json(told))["broken"] == []
    assert "answers" not in json.loads(report.as_json(told))["before"]
    report.draw(told, tmp_path / "loop.png")
    assert (tmp_path / "loop.png").stat().st_size > 1000
    assert report.marks(told) == {
        210: "other texts", 410: "alarm", 420: "canary", 720: "promoted; bad canary",
        1020: "withdrawn",
    }  # fmt: skip
    assert report.roles(told) == {"new": "of swapped labels"}


def test_means_are_of_the_last_values_alone():
    means = report.running_means(np.array([0.0] * 300 + [1.0] * 200))

    assert means[[0, 299, 399, 499]].tolist() == [0, 0, 0.5, 1]


def test_a_step_is_taken_once(tmp_path):
    taken = []

    def step():
        taken.append(1)
        return {"found": 3}

    for _ in range(2):
        assert Steps(tmp_path / "steps.json").take("one", step) == {"found": 3}
    assert taken == [1]
