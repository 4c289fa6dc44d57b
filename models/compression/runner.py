"""Runs a plan: recipes written, stages run while there is time, refusals said and survived."""

import math
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Protocol

from models.compression.plan import LeftOut, Plan, Step, seconds_of
from models.compression.recipe_files import toml, write
from models.compression.state import Refusal, State
from models.library_errors import first_line
from models.recipe import RecipeError, Stage, read_recipe
from models.reports.markdown import table
from serving.errors import BundleError

_LARGEST_PACE = 4.0


class Workshop(Protocol):
    """The pipeline and the registry, as the command has them."""

    def run(self, recipe: Path, stage: Stage, progress: str) -> None:
        """Run a stage unless it is up to date; after the last one, publish."""

    def taken_s(self, recipe: Path) -> float:
        """Return how long the stages of a recipe took that have been made."""

    def is_begun(self, recipe: Path) -> bool:
        """Whether its weights, or its number format, are up to date."""


@dataclass
class Run:
    """One run of a plan, and what became of each step: published, or the reason why not.

    `unmade` are the steps for which there was no time.
    """

    plan: Plan
    folder: Path
    workshop: Workshop
    state: State
    seconds: float

    def __post_init__(self) -> None:
        """Start with nothing done."""
        self.published: list[str] = []
        self.refused: list[LeftOut] = []
        self.left_out: list[LeftOut] = list(self.plan.left_out)
        self.unmade: list[Step] = list(self.plan.later)
        self._spent_s = self._planned_s = 0.0

    def write_recipes(self) -> None:
        """Write a recipe for each step, and say which of them their user has edited."""
        for step in self.plan.steps:
            self._write(step)

    def look_at_data(self) -> None:
        """Divide the texts and print what they are like. Raises RecipeError if they are unusable.

        It belongs to the first step, whose other stages are run later.
        """
        root = self.path(self.plan.steps[0])
        for stage in ("data", "inspect"):
            self.workshop.run(root, stage, "")

    def make_all(self) -> None:
        """Make every step that there is time for, the plan's later ones too.

        Raises RecipeError or BundleError if the first step cannot be made; another one that is
        refused is said, and those made from it are left out.
        """
        for number, step in enumerate(self.plan.steps):
            if not number or (self._has_time(step) and self._has_parent(step)):
                self._make(step, partial(self._about, number), is_first=not number)
        for step in self.plan.later:
            parent_is_unmade = step.content["parent"] in {each.variant for each in self.unmade}
            if self._fits(step) and not parent_is_unmade:
                self._write(step)
                self.unmade.remove(step)
                self.left_out = [each for each in self.left_out if each.variant != step.variant]
                if self._has_parent(step):
                    self._make(step, lambda _: " (there is time left)", is_first=False)

    def _about(self, number: int, seconds: float) -> str:
        """Where the run is, so many seconds after it began the step of this number."""
        step_s, *later_s = (each.seconds * self._pace for each in self.plan.steps[number:])
        left_s = max(0.0, step_s - seconds) + sum(later_s) + self.plan.finish_s
        return f" ({number + 1} of {len(self.plan.steps)}, about {_minutes(left_s)} left)"

    def is_begun(self, step: Step) -> bool:
        """Whether most of it has been made."""
        path = self.path(step)
        try:
            return path.exists() and self.workshop.is_begun(path)
        except RecipeError:  # it was edited wrongly, which is said when it is made
            return False

    def _write(self, step: Step) -> None:
        path = self.path(step)
        if write(path, toml(f"{step.why[0].upper()}{step.why[1:]}.", step.content)) == "kept":
            print(f"{path} was edited and is used as it is")

    def path(self, step: Step) -> Path:
        """Return the file of a step's recipe."""
        return self.folder / f"{step.variant}.toml"

    @property
    def _pace(self) -> float:
        """How much longer steps take than estimated."""
        return min(_LARGEST_PACE, self._spent_s / self._planned_s) if self._planned_s else 1.0

    def _needed_s(self, step: Step) -> float:
        """The time after it; that what went before was fast says nothing of a training."""
        every = (*self.plan.steps, *self.plan.later)
        takes_s = seconds_of(step, every) * max(1.0, self._pace)
        return self._spent_s + takes_s + self.plan.finish_s

    def _fits(self, step: Step) -> bool:
        """Whether there is time for it, as there is for a number format of a student just made."""
        parent = step.content["parent"]
        is_format = parent in self.published and parent != self.plan.steps[0].variant
        return is_format or self.is_begun(step) or self._needed_s(step) <= self.seconds

    def _has_time(self, step: Step) -> bool:
        if self._fits(step):
            return True
        minutes = math.ceil(self._needed_s(step) / 60)
        self.unmade.append(step)
        self.left_out.append(
            LeftOut(
                step.variant,
                f"the steps before it took {_minutes(self._spent_s)}, those of earlier runs "
                f"included, longer than estimated: about --minutes {minutes} includes it",
            )
        )
        return False

    def _has_parent(self, step: Step) -> bool:
        parent = step.content.get("parent")
        missing = {each.variant for each in (*self.left_out, *self.refused)}
        if parent not in missing or parent == self.plan.steps[0].variant:
            return True
        self.left_out.append(LeftOut(step.variant, f"is made from {parent}"))
        return False

    def _make(self, step: Step, about: Callable[[float], str], *, is_first: bool) -> None:
        path = self.path(step)
        refusal: Refusal | None = None
        stage: Stage | None = None
        started_s = time.perf_counter()
        try:
            if refusal := self.state.refusal(step.variant, path):
                raise RecipeError(refusal.reason)
            for stage in read_recipe(path).stages:
                self.workshop.run(path, stage, about(time.perf_counter() - started_s))
            self.published.append(step.variant)
            seconds = self.workshop.taken_s(path)
        except (OSError, MemoryError, ModuleNotFoundError):  # others would fail alike
            raise
        except Exception as error:  # torch and the engines raise many types
            is_refused = isinstance(error, RecipeError | BundleError)
            # Students are made of what the first step has trained, even if that is not published.
            if is_first and not refusal and not (is_refused and stage == "package"):
                raise
            seconds = refusal.seconds if refusal else time.perf_counter() - started_s
            reason = str(error).removeprefix(f"{step.variant}: ")
            if not is_refused:
                reason = f"{stage} failed: {first_line(error)}"
            self.refused.append(LeftOut(step.variant, reason))
            print(f"{step.variant} is not published: {reason}")
            if is_refused and stage and not refusal:
                self.state.refuse(step.variant, path, reason, seconds)
        self._spent_s += seconds
        self._planned_s += step.seconds


def plan_table(plan: Plan, is_begun: Callable[[Step], bool]) -> str:
    """Tabulate what will be done, what it should take and weigh, and what is left out and why."""
    begun = {step.variant for step in (*plan.steps, *plan.later) if is_begun(step)}
    rows: list[tuple[object, ...]] = [
        (
            step.variant,
            step.why,
            "made" if step.variant in begun else _minutes(step.seconds),
            f"{step.bytes / 1e6:,.1f} MB",
        )
        for step in plan.steps
    ]
    last = "the report, and a cascade if one pays" if plan.has_cascade else "the report"
    rows.append(("", last, _minutes(plan.finish_s), ""))
    total = sum(step.seconds for step in plan.steps if step.variant not in begun) + plan.finish_s
    rows.append(("all", f"{len(plan.steps)} variants", _minutes(total), ""))
    return table(("variant", "what it is", "about", "size, about"), rows) + left_out(
        each for each in plan.left_out if each.variant not in begun
    )


def left_out(variants: Iterable[LeftOut]) -> str:
    """Say which variants are left out, and why: a line for each reason."""
    names: dict[str, list[str]] = {}
    for each in variants:
        size = f" ({each.bytes / 1e6:,.1f} MB)" if each.bytes else ""
        names.setdefault(each.reason, []).append(f"{each.variant}{size}")
    return "".join(f"Left out: {', '.join(of)}: {reason}\n" for reason, of in names.items())


def _minutes(seconds: float) -> str:
    return f"{seconds / 60:.0f} min" if seconds >= 90 else f"{seconds:.0f} s"
