"""The gate `max_group_gap`: a variant's groups on the test split of its build."""

from pathlib import Path

import numpy as np

from models.data.labelled import (
    label_matrix,
    read_group_report,
    read_labels,
    read_split,
    split_path,
)
from models.evaluation.results import read_predictions
from models.group_report.figures import FEWEST, Answers, figures
from models.recipe import RecipeError
from serving.bundles.bundle import JUDGED_SPLIT, Manifest, file_sha256
from serving.bundles.group_report import GroupReport


def of_test_split(manifest: Manifest, data: Path, evaluation: Path) -> GroupReport | None:
    """Compute a variant's figures by group from what the pipeline left in these folders.

    It is compared with no other. None if the data has no columns of groups.
    """
    names = read_group_report(data)
    if not names:
        return None
    rows, labels = read_split(data, "test"), read_labels(data)
    answers = Answers(
        labels.names,
        label_matrix(rows, labels),
        read_predictions(evaluation, "test", len(labels.names)),
        np.ones(len(rows), dtype=np.bool_),
        manifest.multi_label,
    )
    columns = {name: [row.groups[at] for row in rows] for at, name in enumerate(names)}
    return GroupReport(
        reference=manifest.variant,
        reference_version=manifest.version,
        texts_sha256=file_sha256(split_path(data, "test")),
        n=len(rows),
        fewest=FEWEST,
        variants=1,
        columns=figures({manifest.variant: answers}, columns, manifest.variant)[manifest.variant],
    )


def check_group_gap(variant: str, report: GroupReport | None, most: float) -> None:
    """Raise RecipeError unless every gap between groups is shown to be at most `most`."""
    found = report.largest_gap if report else None
    if not found:
        raise RecipeError(
            f"{variant}: max_group_gap {most:g} needs two groups with {FEWEST} texts in the "
            f"{JUDGED_SPLIT} split, so the variant is not published: name columns in "
            "`group_report` of [data], hold out more texts, or remove max_group_gap from [gates]"
        )
    gap = found.gap
    if gap.high > most:
        of = f" of {found.label!r}" if found.label else ""
        raise RecipeError(
            f"{variant}: the gap in {found.measure.replace('_', ' ')}{of} between groups of "
            f"{found.column!r} is {gap.value:.4f} ({found.lowest!r} to {found.highest!r}), at 95 % "
            f"at most {gap.high:.4f}, which is above max_group_gap {most:g}, so the variant "
            "is not published: train on more texts of the group that loses, hold out more texts, "
            "which narrows the interval, or raise max_group_gap in [gates]"
        )
