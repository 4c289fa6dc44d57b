"""Which steps of a plan are made in the time there is, and what becomes of one that fails."""

from dataclasses import replace
from itertools import count

import pytest

from models.compression.facts import Facts
from models.compression.plan import Limits, plan
from models.compression.runner import Run, plan_table
from models.compression.state import State
from models.recipe import RecipeError
from tests.support.compression_facts import MINILM, TEXTS

FACTS = Facts(replace(MINILM, kind="classifier"), TEXTS, 0.01, 0.01, 0.003)
LIMITS = Limits(seconds=900, max_drop=0.02)


class Workshop:
    """Makes variants in a share of the estimated time; some fail at their first stage."""

    def __init__(self, pace=1.0, failing=(), error=None):
        every = plan(FACTS, "tone", "mine", replace(LIMITS, seconds=1e9)).steps
        self.seconds = {step.variant: pace * step.seconds for step in every}
        self.failing, self.error = failing, error
        self.begun = []

    def run(self, recipe, _stage, _progress):
        if recipe.stem in self.failing:
            raise self.error
        if recipe.stem not in self.begun:
            self.begun.append(recipe.stem)

    def taken_s(self, recipe):
        return self.seconds[recipe.stem] if recipe.stem in self.begun else 0.0

    def is_begun(self, recipe):
        return recipe.stem in self.begun


def made(folder, workshop, state=None):
    run = Run(
        plan(FACTS, "tone", "mine", LIMITS), folder, workshop,
        state or State(folder / "compress.json", {}, FACTS), LIMITS.seconds,
    )  # fmt: skip
    run.write_recipes()
    run.make_all()
    return run


def names(steps):
    return [step.variant for step in steps]


def test_what_is_planned_is_made_and_the_rest_says_what_would_include_it(tmp_path):
    run = made(tmp_path, Workshop())

    assert run.published == names(run.plan.steps)
    assert names(run.unmade) == names(run.left_out) == names(run.plan.later) != []
    assert not (tmp_path / f"{run.unmade[0].variant}.toml").exists()


def test_time_that_is_left_goes_to_what_was_left_out(tmp_path):
    workshop = Workshop(pace=0.2)
    run = made(tmp_path, workshop)

    assert set(names(run.plan.steps)) < set(run.published)
    assert sum(workshop.seconds[name] for name in run.published) <= LIMITS.seconds
    assert not set(run.published) & set(names(run.unmade))
    assert names(run.left_out) == names(run.unmade)


def test_what_takes_longer_is_left_out_at_last_but_no_format_of_a_student(tmp_path):
    run = made(tmp_path, Workshop(pace=2.0))

    assert run.published[0] == "teacher-fp32"
    late = [each for each in run.unmade if each in run.plan.steps]
    reasons = {each.variant: each.reason for each in run.left_out}
    assert "those of earlier runs included" in reasons[late[0].variant]
    for name in ("static", "half", "quarter", "tiny"):
        assert (f"{name}-fp32" in run.published) == (f"{name}-int8" in run.published)


def test_what_an_earlier_run_has_made_is_kept_whatever_the_time(tmp_path):
    workshop = Workshop(pace=0.2)
    before = made(tmp_path, workshop).published
    workshop.seconds = dict.fromkeys(workshop.seconds, 1000000.0)

    run = made(tmp_path, workshop)

    assert run.published == before
    table = plan_table(run.plan, run.is_begun)
    assert "| made |" in table
    lines = [line.split(":")[1] for line in table.splitlines() if line.startswith("Left out:")]
    assert not {*before} & {name.split()[0] for line in lines for name in line.split(",")}


def test_the_table_adds_up_and_names_what_is_left_out_for_one_reason_together():
    found = plan(FACTS, "tone", "mine", LIMITS)

    table = plan_table(found, lambda _: False)

    total = f"{(found.finish_s + sum(step.seconds for step in found.steps)) / 60:.0f} min"
    assert f"| all | {len(found.steps)} variants | {total} |" in table
    reasons = [each.reason for each in found.left_out]
    assert len({*reasons}) < len(reasons)
    assert [table.count(reason) for reason in reasons] == [1] * len(reasons)


@pytest.mark.parametrize("error", [RecipeError("too bad"), AttributeError("no states\nat all")])
def test_a_student_that_fails_is_said_and_the_others_are_made(tmp_path, error, capsys):
    workshop = Workshop(0.2, failing=["quarter-fp32"], error=error)
    state = State(tmp_path / "compress.json", {}, FACTS)

    run = made(tmp_path, workshop, state)

    assert names(run.refused) == ["quarter-fp32"]
    assert {"half-fp32", "half-int8"} <= set(run.published)
    assert "quarter-int8" not in run.published
    said = capsys.readouterr().out
    is_refused = isinstance(error, RecipeError)
    reason = "too bad" if is_refused else "distill failed: no states"
    assert f"quarter-fp32 is not published: {reason}\n" in said
    assert ("quarter-fp32" in state.refusals) == is_refused


@pytest.mark.parametrize("error", [OSError(28, "No space left"), ModuleNotFoundError("nncf")])
def test_what_would_fail_all_others_ends_the_run(tmp_path, error):
    with pytest.raises(type(error)):
        made(tmp_path, Workshop(0.2, failing=["static-fp32"], error=error))


def test_a_teacher_that_fails_ends_the_run(tmp_path):
    with pytest.raises(AttributeError):
        made(tmp_path, Workshop(failing=["teacher-fp32"], error=AttributeError("no states")))


def test_a_refusal_holds_until_a_recipe_before_it_is_edited(tmp_path):
    state = State(tmp_path / "compress.json", {}, FACTS)
    failing = Workshop(0.2, failing=["half-int8"], error=RecipeError("too bad"))
    assert names(made(tmp_path, failing, state).refused) == ["half-int8"]
    assert names(made(tmp_path, Workshop(0.2), state).refused) == ["half-int8"]
    parent = tmp_path / "half-fp32.toml"
    parent.write_text(parent.read_text().replace("epochs = ", "epochs = 1"))

    assert not made(tmp_path, Workshop(0.2), state).refused


def test_the_time_that_is_left_goes_down_within_a_step(tmp_path, monkeypatch):
    clock = count(step=60)
    monkeypatch.setattr("models.compression.runner.time.perf_counter", lambda: next(clock))
    workshop, said = Workshop(), []
    run = workshop.run
    monkeypatch.setattr(workshop, "run", lambda *asked: (said.append(asked), run(*asked)))
    steps = made(tmp_path, workshop).plan.steps
    longest = max(steps, key=lambda step: step.seconds)

    left = [
        int(about.split("about ")[1].split()[0])
        for recipe, _, about in said
        if recipe.stem == longest.variant
    ]

    assert longest.seconds > 120
    assert left[:3] == [left[0], left[0] - 1, left[0] - 2]
