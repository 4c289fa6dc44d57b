"""The steps of a build: stages in order, and what goes on after a refusal."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path

from models.pipeline import Pipeline, alone_in
from models.recipe import Recipe, RecipeError, Stage
from serving.bundles.bundle import Bundle
from serving.errors import BundleError


def make_steps(
    pipeline: Pipeline,
    steps: Sequence[tuple[tuple[Recipe, ...], Stage]],
    publish: Callable[[Path], Bundle],
    *,
    goes_on: bool,
) -> None:
    """Run stages, each of the recipe after its ancestors; `publish` takes a finished bundle.

    What a stage refuses is raised: RecipeError or BundleError. With `goes_on` that is after all
    that does not need what is missing; what is only not published has weights to build on. Raises
    RecipeError if another run makes the same family.
    """
    with ExitStack() as alone:
        for family in sorted({ancestors[-1].family for ancestors, _ in steps}):
            alone.enter_context(alone_in(pipeline.build / family))
        refused: dict[str, RecipeError | BundleError] = {}
        missing: dict[str, str] = {}
        for done, (ancestors, stage) in enumerate(steps):
            recipe = ancestors[-1]
            if recipe.parent in missing:
                missing[recipe.variant] = recipe.parent
            if recipe.variant in {*refused, *missing}:
                continue
            left = [
                pipeline.expected_seconds(each[-1], its_stage) for each, its_stage in steps[done:]
            ]
            try:
                pipeline.make(
                    ancestors, stage, f" ({done + 1} of {len(steps)}, {_time_left(left)} left)"
                )
                if stage == "package":
                    bundle = publish(pipeline.folder(recipe, "package"))
                    print(f"Published {bundle.folder}, version {bundle.manifest.version}")
            except (RecipeError, BundleError) as error:
                if not goes_on:
                    raise
                refused[recipe.variant] = error
                print(f"{recipe.variant} is not published: {error}", flush=True)
                if stage != "package":
                    missing[recipe.variant] = recipe.variant
        if refused:
            raise _all_refusals(refused, missing)


def _all_refusals(
    refused: Mapping[str, RecipeError | BundleError], missing: Mapping[str, str]
) -> RecipeError | BundleError:
    """The only refusal as it is, or all of them in a sentence, with what could not be made."""
    without = [f"{each}: is made from {of}" for each, of in missing.items() if each not in refused]
    if len(refused) == 1 and not without:
        return next(iter(refused.values()))
    reasons = [
        f"{variant}: {str(error).removeprefix(f'{variant}: ')}"
        for variant, error in refused.items()
    ]
    return RecipeError(f"not published: {'; '.join([*reasons, *without])}")


def _time_left(seconds: Sequence[float | None]) -> str:
    """The sum in words; a lower bound if some are not known."""
    known = sum(each for each in seconds if each is not None)
    bound = "more than" if None in seconds else "about"
    return f"{bound} {known / 60:.0f} min" if known >= 60 else f"{bound} {known:.0f} s"
