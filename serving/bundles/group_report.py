"""What a manifest says of groups of texts: how much better one fares than another."""

from typing import Annotated, Literal

from pydantic import Field

from serving.bundles.evaluation import Estimate
from serving.bundles.files import MOST, Count, Frozen, Name, Sha256

Label = Annotated[str, Field(max_length=200)]
Measure = Literal["accuracy", "recall", "false_positive_rate"]


class GroupScore(Frozen):
    """A figure of one group."""

    group: Label
    """The group: what the column says."""
    n: Annotated[int, Field(gt=0, le=MOST)]
    """Texts that count: for recall those that have the label, else those that do not."""
    value: Estimate
    """The figure."""
    change: Estimate | None = None
    """The figure minus the reference's on the same texts; null if it is the reference."""


class SmallGroup(Frozen):
    """A group with too few texts to judge."""

    group: Label
    """The group: what the column says."""
    n: Count
    """Texts that count."""


class GroupMeasure(Frozen):
    """A figure by group."""

    measure: Measure
    """Which figure."""
    label: str | None = None
    """The label that it is of; null for the accuracy."""
    groups: list[GroupScore]
    """The groups that can be judged, the best supported first."""
    too_small: list[SmallGroup] = Field(default=[])
    """The others."""
    gap: Estimate | None = None
    """The largest difference between two groups; null if fewer than two can be judged."""
    change_gap: Estimate | None = None
    """The largest difference between two groups in `change`; null likewise."""


class GroupColumn(Frozen):
    """A column of the table of texts that divides them into groups."""

    column: Label
    """Its name."""
    measures: list[GroupMeasure]
    """The figures."""


class GroupGap(Frozen):
    """The gap between groups of the highest upper end, over all columns and figures."""

    column: Label
    """The column of the groups."""
    measure: Measure
    """Which figure."""
    label: str | None
    """The label that it is of; null for the accuracy."""
    lowest: Label
    """The group with the lowest figure."""
    highest: Label
    """The group with the highest figure."""
    gap: Estimate
    """The largest difference between two groups."""


class GroupReport(Frozen):
    """How a variant does by group, and what it changes beyond its family's reference.

    The intervals of each of value, change, gap and change gap hold together with 95 %, over all
    columns, figures, groups and variants that were measured at once.
    """

    reference: Name
    """The family's variant that is compared with, which may be this one."""
    reference_version: str
    """Version of the reference."""
    texts_sha256: Sha256
    """Hash of the texts."""
    n: Annotated[int, Field(gt=0, le=MOST)]
    """Number of texts."""
    fewest: Annotated[int, Field(gt=0, le=MOST)]
    """Texts that a group must have to be judged."""
    variants: Annotated[int, Field(gt=0, le=MOST)]
    """Variants whose intervals hold together."""
    columns: list[GroupColumn]
    """The columns that were asked for."""

    @property
    def largest_gap(self) -> GroupGap | None:
        """The gap whose upper end bounds all; None if no two groups can be judged."""
        gaps = []
        for column in self.columns:
            for each in column.measures:
                if each.gap:
                    ordered = sorted(each.groups, key=lambda one: one.value.value)
                    lowest, highest = ordered[0].group, ordered[-1].group
                    gaps.append(
                        GroupGap(
                            column=column.column, measure=each.measure, label=each.label,
                            lowest=lowest, highest=highest, gap=each.gap,
                        )
                    )  # fmt: skip
        return max(gaps, key=lambda each: each.gap.high, default=None)
