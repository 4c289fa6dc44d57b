"""What variants do by group of texts, computed from their answers. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from models.evaluation import by_group
from models.evaluation.by_group import Cell
from models.evaluation.statistics import Flags, Floats, correct
from serving.bundles.evaluation import Estimate
from serving.bundles.group_report import GroupColumn, GroupMeasure, GroupScore, Measure, SmallGroup

FEWEST = 50
"""Texts that a group needs: then the interval of a share reaches 15 points at most, alone."""

_Figure = tuple[str, Measure, str | None]
"""Column, measure and label."""
_Key = tuple[str, str, Measure, str | None]
"""Variant, column, measure and label."""


@dataclass(frozen=True)
class Answers:
    """A variant's predictions and the truth, both (texts, labels), in the order of `labels`.

    `answered` says which texts have an answer at all, (texts,).
    """

    labels: Sequence[str]
    truth: Flags
    predictions: Flags
    answered: Flags
    multi_label: bool

    def measured(self, measure: Measure, label: str | None) -> tuple[Flags, Floats]:
        """Return which texts count for a figure, and the value of each, both (texts,)."""
        if label is None:
            right = correct(self.truth, self.predictions) & self.answered
            return np.ones_like(right), right.astype(np.float64)
        at = list(self.labels).index(label)
        has, given = self.truth[:, at], self.predictions[:, at] & self.answered
        return (has if measure == "recall" else ~has), given.astype(np.float64)


def figures(
    found: Mapping[str, Answers], columns: Mapping[str, Sequence[str]], reference: str
) -> dict[str, list[GroupColumn]]:
    """Compute the figures of variants by name, whose texts are the same.

    `columns` has each text's group by column, empty where it is in none. Recall and false-positive
    rate are of each label where there are two labels, or any number may apply.
    """
    first = found[reference]
    texts = len(first.truth)
    large, small = _divided(first, columns)
    values: dict[_Key, list[Cell]] = {}
    changes: dict[_Key, list[Cell]] = {}
    for name, each in found.items():
        for key, groups in large.items():
            own = each.measured(*key[1:])[1]
            values[name, *key] = _cells(groups, own)
            if name != reference:
                changes[name, *key] = _cells(groups, own - first.measured(*key[1:])[1])
    estimated = _split(values, by_group.shares(_flat(values)))
    changed = _split(changes, by_group.means(_flat(changes), texts, -1.0))
    gap, change_gap = _gaps(values, texts, 0.0), _gaps(changes, texts, -1.0)

    def measure_of(name: str, key: _Figure) -> GroupMeasure:
        whole: _Key = (name, *key)
        beyond: Sequence[Estimate | None] = changed.get(whole) or [None] * len(large[key])
        return GroupMeasure(
            measure=key[1],
            label=key[2],
            groups=[
                GroupScore(group=group, n=int(rows.sum()), value=value, change=change)
                for (group, rows), value, change in zip(
                    large[key].items(), estimated[whole], beyond, strict=True
                )
            ],
            too_small=small[key],
            gap=gap.get(whole),
            change_gap=change_gap.get(whole),
        )

    return {
        name: [
            GroupColumn(
                column=column, measures=[measure_of(name, key) for key in large if key[0] == column]
            )
            for column in columns
        ]
        for name in found
    }


def _divided(
    first: Answers, columns: Mapping[str, Sequence[str]]
) -> tuple[dict[_Figure, dict[str, Flags]], dict[_Figure, list[SmallGroup]]]:
    """Which texts of each group count for each figure, and the groups that are too small for it."""
    measures: list[tuple[Measure, str | None]] = [("accuracy", None)]
    if first.multi_label or len(first.labels) == 2:
        for name in first.labels:
            measures += [("recall", name), ("false_positive_rate", name)]
    large: dict[_Figure, dict[str, Flags]] = {}
    small: dict[_Figure, list[SmallGroup]] = {}
    for column, groups in columns.items():
        masks = _masks(groups)
        for measure, label in measures:
            counts, _ = first.measured(measure, label)
            rows = {group: mask & counts for group, mask in masks.items()}
            rows = dict(sorted(rows.items(), key=lambda each: (-each[1].sum(), each[0])))
            key = (column, measure, label)
            large[key] = {group: each for group, each in rows.items() if each.sum() >= FEWEST}
            small[key] = [
                SmallGroup(group=group, n=int(each.sum()))
                for group, each in rows.items()
                if group not in large[key]
            ]
    return large, small


def _masks(groups: Sequence[str]) -> dict[str, Flags]:
    given = np.array(groups)
    return {str(group): given == group for group in sorted({*groups} - {""})}


def _cells(groups: Mapping[str, Flags], values: Floats) -> list[Cell]:
    found = [np.flatnonzero(rows) for rows in groups.values()]
    return [Cell(rows, values[rows]) for rows in found]


def _flat(cells: Mapping[_Key, list[Cell]]) -> list[Cell]:
    return [cell for its in cells.values() for cell in its]


def _split(
    cells: Mapping[_Key, list[Cell]], estimates: list[Estimate]
) -> dict[_Key, list[Estimate]]:
    left = iter(estimates)
    return {key: [next(left) for _ in its] for key, its in cells.items()}


def _gaps(cells: Mapping[_Key, list[Cell]], texts: int, least: float) -> dict[_Key, Estimate]:
    able = {key: its for key, its in cells.items() if len(its) > 1}
    return dict(zip(able, by_group.gaps(list(able.values()), texts, least), strict=True))
