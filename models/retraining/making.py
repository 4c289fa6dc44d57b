"""The step `make`: variants made again, compared with the live ones, and calibrated."""

import shutil
from collections.abc import Callable, Sequence

from models.data.labelled import LabelledText, read_labels, read_split
from models.data.splits import normalised
from models.recipe import Recipe, RecipeError
from models.retraining.calibration import calibrate, has_calibrated_files
from models.retraining.comparison import compare
from models.retraining.recipes import Lineage, data_of, refreshed
from models.retraining.record import Turn
from models.retraining.wanted import Wanted, Workshop
from serving.bundles.bundle import Bundle
from serving.bundles.registry import publish, read_registry
from serving.errors import BundleError


def make_versions(
    wanted: Wanted, workshop: Workshop, turn: Turn, tell: Callable[[str], None]
) -> list[str]:
    """Make and compare the new versions, and note it in `turn`; return what was found.

    The registry `wanted.made` then has what the family will be: a variant without a new version is
    there as it is. Raises RecipeError or BundleError if there is no new version, or a cascade or
    decisions cannot be made.
    """
    live = {each.manifest.variant: each for each in wanted.live()}
    recipes = refreshed(wanted.lineages(), wanted.tables, wanted.build)
    shutil.rmtree(wanted.made, ignore_errors=True)
    turn.refused = None
    try:
        workshop.make(recipes, live, wanted.made_build, wanted.made)
    except (RecipeError, BundleError) as error:
        turn.refused = str(error)
    made = _made(wanted)
    if not made:
        raise RecipeError(turn.refused or "this is a bug: nothing was made, and nothing refused")
    says = [f"Made {', '.join(sorted(made))}"]
    if turn.refused:
        says.append(f"Refused: {turn.refused}")
    if kept := sorted(live.keys() - made.keys()):
        says.append(f"As they are: {', '.join(kept)}")
    if all(each.manifest.version == live[name].manifest.version for name, each in made.items()):
        turn.outcome = "unchanged"
        turn.reason = "The new versions are the live ones: no new text is one to learn from."
        return says
    _compare(wanted, recipes, live, made, turn)
    if has_calibrated_files(wanted.registry / wanted.family):
        for name in kept:
            publish(live[name].folder, wanted.made)
        calibrate(
            wanted.registry / wanted.family, wanted.made / wanted.family, wanted.made_build,
            wanted.output, tell,
        )  # fmt: skip
    return says


def _made(wanted: Wanted) -> dict[str, Bundle]:
    if not (wanted.made / wanted.family).is_dir():
        return {}
    found = read_registry(wanted.made).get(wanted.family, [])
    return {each.manifest.variant: each for each in found}


def _compare(
    wanted: Wanted,
    recipes: Sequence[Lineage],
    live: dict[str, Bundle],
    made: dict[str, Bundle],
    turn: Turn,
) -> None:
    roots = {each[-1].variant: each[0] for each in recipes}
    for name, bundle in made.items():
        labels = read_labels(data_of(roots[name], wanted.build))
        old, new = _test_texts(wanted, roots[name])
        for texts, figures in ((old, turn.old_test), (new, turn.new_test)):
            if (found := compare(live[name], bundle, texts, labels)) is not None:
                figures[name] = found


def _test_texts(wanted: Wanted, root: Recipe) -> tuple[list[LabelledText], list[LabelledText]]:
    """Return the test split of before, and the texts that are new in it."""
    old = read_split(data_of(root, wanted.build), "test")
    now = read_split(wanted.made_build / root.family / root.variant / "data", "test")
    known = {normalised(each.text) for each in old}
    return old, [each for each in now if normalised(each.text) not in known]
