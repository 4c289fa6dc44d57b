"""The family's recipes, with the same sections but for [data]: tables of the old and new texts."""

import os
import shutil
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

from models.data.labelled import LABELS_NAME, UNLABELLED, has_labels, read_labels, write_lines
from models.data.section import DataSection
from models.data.splits import SPLITS
from models.recipe import Recipe, RecipeError, in_parent_order, lineage
from models.retraining.division import Divided, Row
from serving.bundles.bundle import Manifest
from serving.bundles.files import listed

Lineage = tuple[Recipe, ...]


def wanted_recipes(folder: Path, family: str, live: Collection[str]) -> list[Lineage]:
    """Return the recipes of the live variants and of those they are made from, parents first.

    Raises RecipeError if one is wrong, or none is of a live variant.
    """
    if not folder.is_dir():
        raise RecipeError(f"--recipes {folder} is not a folder: name that of the family's recipes")
    found = [tuple(lineage(path)) for path in in_parent_order(folder)]
    needed = {
        each.variant
        for ancestors in found
        if ancestors[-1].family == family and ancestors[-1].variant in live
        for each in ancestors
    }
    if not needed:
        raise RecipeError(
            f"--recipes {folder} has no recipe of a variant of {family} that is live "
            f"({', '.join(sorted(live))}): name the folder that the family was made from"
        )
    return [ancestors for ancestors in found if ancestors[-1].variant in needed]


def data_of(root: Recipe, build: Path) -> Path:
    """Return the folder of a root's divided texts. Raises RecipeError if it cannot be added to."""
    folder = build / root.family / root.variant / "data"
    path = root.folder / f"{root.variant}.toml"
    if not (folder / LABELS_NAME).is_file():
        raise RecipeError(
            f"{folder} does not exist, to which new texts are added: run `python -m models data "
            f"{path}` first"
        )
    if not has_labels(folder):
        raise RecipeError(
            f'{path} has truth = "teacher": what is right is what the teacher answers, which no '
            "feedback changes; give [data] labels, or run `compress` with --more on the new texts"
        )
    return folder


def check_labels(data: Path, manifest: Manifest) -> None:
    """Raise RecipeError unless divided texts have the labels that the family answers."""
    names = read_labels(data).names
    if {*names} != {*manifest.labels}:
        raise RecipeError(
            f"{data} has the labels {listed(names)}, and {manifest.family} answers "
            f"{listed(manifest.labels)}: publish what the recipes make of them by `python -m "
            "models all` first, or as another family"
        )


def write_tables(divided: Divided, section: DataSection, folder: Path) -> None:
    """Write the texts as tables, for their owner alone to read, whole or not at all."""
    staged = folder.with_name(f".{folder.name}")
    shutil.rmtree(staged, ignore_errors=True)
    staged.mkdir(parents=True, mode=0o700)
    for split in SPLITS:
        write_lines(
            staged / f"{split}.jsonl", [_cells(row, section) for row in divided.splits[split]]
        )
    if divided.unlabelled:
        texts = [{section.text: text} for text in divided.unlabelled]
        write_lines(staged / f"{UNLABELLED}.jsonl", texts)
    shutil.rmtree(folder, ignore_errors=True)
    staged.rename(folder)


def refreshed(found: Sequence[Lineage], tables: Path, build: Path) -> list[Lineage]:
    """Return recipes whose roots read the tables that `write_tables` left in `tables`/ROOT."""

    def root(recipe: Recipe) -> Recipe:
        names = read_labels(data_of(recipe, build)).names
        section = _data_section(recipe, tables / recipe.variant, names)
        return recipe.model_copy(update={"data": section})

    roots = {each[0].variant: root(each[0]) for each in found if len(each) == 1}
    return [(roots[each[0].variant], *each[1:]) for each in found]


def _data_section(recipe: Recipe, tables: Path, names: tuple[str, ...]) -> DataSection:
    before = recipe.data
    assert before is not None, "this is a bug: a root has [data]"

    def location(name: str) -> str:
        return Path(os.path.relpath(tables / f"{name}.jsonl", recipe.folder)).as_posix()

    has_more = (tables / f"{UNLABELLED}.jsonl").exists()
    return DataSection(
        files=(location("train"),),
        splits={split: (location(split),) for split in SPLITS if split != "train"},
        unlabelled=(location(UNLABELLED),) if has_more else (),
        text=before.text,
        label=before.label,
        group_report=before.group_report,
        problem_type=before.problem_type,
        labels=names,
        seed=before.seed,
    )


def _cells(row: Row, section: DataSection) -> dict[str, Any]:
    single = section.problem_type == "single_label"
    groups = dict(zip(section.group_report, row.groups, strict=True))
    return groups | {
        section.text: row.text,
        section.label: row.names[0] if single else list(row.names),
    }
