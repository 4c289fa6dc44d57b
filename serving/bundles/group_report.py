"""What a manifest says of groups of texts, and of pairs that differ in whom they are of."""

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


class ScoreShift(Frozen):
    """How a label's score changes where words are swapped."""

    label: str
    """The label."""
    shift: Estimate
    """Mean score of the second texts minus that of the first."""
    excess: Estimate | None = None
    """The shift minus the reference's; null if it is the reference."""


class SwappedWords(Frozen):
    """How a variant answers pairs of texts that differ in one kind of words."""

    swap: Name
    """The kind: pronouns, names or places."""
    first: Label
    """What the first texts are of."""
    second: Label
    """What the second texts are of."""
    inside: Annotated[float, Field(ge=0, le=1)]
    """Share of the texts whose own words were swapped; the others are in frames."""
    flips: Estimate
    """Share of the pairs with two different answers."""
    excess: Estimate | None = None
    """Flips minus the reference's on the same pairs; null if it is the reference."""
    shifts: list[ScoreShift]
    """The shifts by label."""


class Counterfactuals(Frozen):
    """How a variant answers pairs of texts, against its family's reference.

    The intervals of each of flips, shifts and either's excess hold together with 95 %, over all
    swaps, labels and variants that were measured at once.
    """

    reference: Name
    """The family's variant that is compared with, which may be this one."""
    reference_version: str
    """Version of the reference."""
    texts_sha256: Sha256
    """Hash of the texts."""
    n: Annotated[int, Field(gt=0, le=MOST)]
    """Number of texts, and of pairs of each kind."""
    variants: Annotated[int, Field(gt=0, le=MOST)]
    """Variants whose intervals hold together."""
    swaps: list[SwappedWords]
    """The kinds."""
