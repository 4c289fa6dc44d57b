"""`python -m models compress`: look, plan, write recipes, run them, report and advise."""

import importlib.util
from dataclasses import replace
from pathlib import Path
from typing import Protocol

from models.compression.advice import Advice
from models.compression.exported import ORIGINAL, is_exported, make_formats
from models.compression.finish import finish, make_cascade
from models.compression.plan import FORMATS, Limits, plan
from models.compression.recipe_content import TEACHER
from models.compression.runner import Run, Workshop, left_out, plan_table
from models.compression.state import read_state
from models.compression.user_texts import UserTexts, location_in
from models.compression.wanted import Wanted
from models.data.sources import FETCHED, Source
from models.next_command import serving
from models.recipe import RecipeError
from models.recipe_sections import Scheme

_OPTIONAL = {"int8-openvino": ("openvino", "nncf")}


class _Workshop(Workshop, Protocol):
    @property
    def build(self) -> Path:
        """The build folder."""


def make(
    wanted: Wanted, source: Source, found: UserTexts, workshop: _Workshop, reports: Path
) -> list[str]:
    """Make the family; return the variants to serve as advised, none for all of them.

    Raises RecipeError or BundleError when the model or the texts cannot be used.
    """
    if source.path and is_exported(source.path):
        if wanted.more or wanted.missing == "unlabelled":
            option = "--more" if wanted.more else "--missing unlabelled"
            raise RecipeError(f"{option}: an exported graph is not trained: leave it out")
        print("An exported graph: only its number formats can be made, without training.")
        wanted = replace(wanted, formats_only=True)
        variants = make_formats(source.path, wanted, found, _schemes())
        return _advised(finish(wanted, ORIGINAL, variants, found.texts, output=reports))
    made = _make(wanted, source, found, workshop)
    root = made.plan.steps[0].variant
    print(left_out(made.left_out), end="")
    unmade = [step.bytes for step in made.unmade]
    advice = finish(wanted, root, made.published, found.texts, output=reports, unmade=unmade)
    cascade = None
    if made.plan.has_cascade:
        cascade = make_cascade(wanted, made.published, advice.variant, workshop.build, reports)
    if root != TEACHER:
        print(
            f"\nNo teacher: {made.plan.left_out[0].reason}. What is advised learnt from the labels "
            f"alone and is compared with {root}."
        )
    advised = _advised(advice)
    if cascade:
        print(
            f"Or a cascade of {cascade}. {serving(wanted.registry)} serves all variants, and it "
            f'answers requests for {{"model": "{wanted.family}", "variant": "auto"}}'
        )
    return advised


def _make(wanted: Wanted, source: Source, found: UserTexts, workshop: _Workshop) -> Run:
    if importlib.util.find_spec("torch") is None:
        raise ModuleNotFoundError("No module named 'torch'", name="torch")
    state = read_state(wanted, source.path)
    if state.facts is None:
        from models.compression.look import look  # noqa: PLC0415 (slow: imports torch)

        print(f"Timing {source} on these texts: seconds, or a minute if it is large", flush=True)
        state.facts = look(source, found, wanted)
        state.save()
    location = wanted.source
    if source.path and not wanted.source.startswith(FETCHED):
        location = location_in(wanted.recipes, source.path)
    seconds = 60 * wanted.minutes
    limits = Limits(seconds, wanted.max_drop, wanted.max_bytes, wanted.formats_only, _schemes())
    chosen = plan(state.facts, wanted.family, location, limits)
    if not found.labels and not any(step.variant == TEACHER for step in chosen.steps):
        raise RecipeError(
            f"{source} cannot label these texts, and they have no labels: "
            f"{chosen.left_out[0].reason}"
        )
    root = chosen.steps[0]
    if wanted.formats_only and "adopt" not in root.content:
        raise RecipeError(f"--formats-only: {root.variant} would be trained: leave it out")
    run = Run(chosen, wanted.recipes, workshop, state, seconds)
    run.write_recipes()
    run.look_at_data()
    print(f"\n{plan_table(chosen, run.is_begun)}Recipes: {wanted.recipes}\n", flush=True)
    run.make_all()
    return run


def _schemes() -> tuple[Scheme, ...]:
    """The number formats whose libraries are installed."""
    return tuple(
        each
        for each in FORMATS
        if all(importlib.util.find_spec(name) for name in _OPTIONAL.get(each, ()))
    )


def _advised(advice: Advice) -> list[str]:
    print(f"\nAdvice: {advice.says}")
    return [advice.variant] if advice.variant else []
