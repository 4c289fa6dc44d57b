"""The command `groups`: how a family's variants do by group of texts."""

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import numpy as np

from models.cascade.text_sets import data_folder
from models.data.labelled import read_group_report
from models.evaluation.predictions import predicted
from models.evaluation.statistics import Flags
from models.group_report.figures import FEWEST, Answers, figures
from models.progress import progress
from models.published.publishing import publish_measured
from models.published.texts import Columns
from models.recipe import RecipeError
from models.reports import group_tables
from models.reports.files import figures_of, write_report
from models.reports.group_plot import draw
from models.robustness.answers import Variant, variants_of
from models.robustness.texts import texts_of
from serving.bundles.bundle import CARD_NAME
from serving.bundles.group_report import GroupReport


def report_groups(
    target: str,
    files: Sequence[Path],
    columns: Columns,
    registry: Path,
    *,
    build: Path,
    output: Path,
    reference: str = "",
    tell: Callable[[str], None] = print,
) -> None:
    """Measure FAMILY's variants, or FAMILY/VARIANT, by group, against the reference.

    The groups are those of the columns of `files`, or of the recipe's `group_report` on the test
    split in `build`. The figures go into `output`, then into each variant's manifest and card in
    the registry. What has been answered is kept in `build`. Raises RecipeError or BundleError in a
    sentence.
    """
    family = target.partition("/")[0]
    variants, chosen, reference = variants_of(
        target, registry, build / "cache" / "groups", reference, tell
    )
    first = variants[reference]
    names = columns.groups if files else _reported(family, columns.groups, build)
    texts = texts_of(first.bundle, files, columns, build)
    given = {name: [row[at] for row in texts.groups] for at, name in enumerate(names)}
    wanted = {name: given[name] for name in columns.groups or names}
    plain = [str(text) for text in texts.texts]
    found = {}
    with progress(total=len(variants), does="groups", units="variants") as bar:
        for name, each in variants.items():
            found[name] = _answers(each, plain, texts.truth(each.manifest.labels))
            bar.update()
    measured = figures(found, wanted, reference)
    result = {
        name: GroupReport(
            reference=reference,
            reference_version=first.manifest.version,
            texts_sha256=texts.sha256,
            n=len(plain),
            fewest=FEWEST,
            variants=len(variants),
            columns=measured[name],
        )
        for name in variants
    }
    tables = group_tables.report(family, result)
    tell(tables)
    tell(group_tables.advice(result))
    figures_json = figures_of(family, result)
    tell(write_report(output, "groups", tables, figures_json, partial(draw, family, result)))
    for name in chosen:
        fields = {"group_report": result[name]}
        done = publish_measured(variants[name].bundle, fields, registry, tell)
        tell(f"Wrote {done.path(CARD_NAME)}")


def _reported(family: str, asked: Sequence[str], build: Path) -> tuple[str, ...]:
    """The columns of the test split in `build`. Raises RecipeError unless those asked are there."""
    try:
        found = read_group_report(data_folder(family, build))
    except RecipeError as error:
        raise RecipeError(f"{error}, or name labelled texts with --data") from error
    if not found:
        raise RecipeError(
            f"the build of {family} has no columns of groups: list some as `group_report` in "
            "[data] of the recipe and build it again, or name a table with --data and its columns "
            "with --groups"
        )
    for name in asked:
        if name not in found:
            raise RecipeError(
                f"{name!r} is none of the columns in `group_report` ({', '.join(found)}): name one "
                "of them, or a table with --data"
            )
    return found


def _answers(variant: Variant, texts: Sequence[str], truth: Flags) -> Answers:
    logits = variant.logits(texts)
    return Answers(
        variant.manifest.labels,
        truth,
        predicted(np.nan_to_num(logits), variant.problem_type),
        np.asarray(~np.isnan(logits).any(axis=1)),
        variant.manifest.multi_label,
    )
