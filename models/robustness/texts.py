"""The labelled texts on which a family is stressed: the user's, or the family's test split."""

from collections.abc import Sequence
from pathlib import Path

from models.cascade.text_sets import data_folder
from models.data.labelled import has_labels, read_labels, read_split
from models.published.texts import Columns, UserTexts, read_texts
from models.recipe import RecipeError
from serving.bundles.bundle import Bundle
from serving.errors import BundleError


def texts_of(bundle: Bundle, files: Sequence[Path], columns: Columns, build: Path) -> UserTexts:
    """Return the texts of `files`, or if there are none those of the test split in `build`.

    Raises RecipeError or BundleError in a sentence when they cannot be used, or the bundle reads
    no single texts.
    """
    if bundle.manifest.pairs:
        raise BundleError(f"{bundle.folder} reads pairs of texts: only single texts are measured")
    return read_texts(files, columns, bundle) if files else _test_split(bundle, build)


def _test_split(bundle: Bundle, build: Path) -> UserTexts:
    manifest = bundle.manifest
    try:
        data = data_folder(manifest.family, build)
    except RecipeError as error:
        raise RecipeError(f"{error}, or name labelled texts with --data") from error
    labels = read_labels(data)
    if {*labels.names} != {*manifest.labels}:
        raise RecipeError(
            f"{data} has the labels {', '.join(labels.names)}, the family "
            f"{', '.join(manifest.labels)}: name labelled texts with --data"
        )
    if not has_labels(data):
        raise RecipeError(
            f"{data} has a model's answers for labels, which say nothing of accuracy: name "
            "labelled texts with --data"
        )
    return held_out(data)


def held_out(data: Path) -> UserTexts:
    """Return the labelled texts of the test split in a family's data folder."""
    labels = read_labels(data)
    rows = read_split(data, "test")
    names = [tuple(labels.names[at] for at in row.labels) for row in rows]
    return UserTexts([row.text for row in rows], names, [row.groups for row in rows if row.groups])
