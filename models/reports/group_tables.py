"""What variants do by group, as tables: for the terminal, the report and the model card."""

from collections.abc import Mapping, Sequence

from models.reports.markdown import UNDEFINED, escaped, percent, table
from serving.bundles.bundle import Manifest
from serving.bundles.group_report import GroupMeasure, GroupReport, SmallGroup

_REPORT = """# {family} by group

{n:,} texts. The intervals of all figures of a kind hold together with 95 %, over all columns,
groups and variants, and so do those of all gaps. A change is against {reference} on the same texts.

"""
_SECTION = """## Groups

On {n:,} texts; the intervals of values, of changes and of gaps each hold together with 95 %, over
all columns, figures, groups and the {variants} variants that were measured. A change is the figure
minus that of version `{reference_version}` of {reference}.

"""
_COMMAND = """Measured by

```
python -m models groups {family}
```
"""
_SMALL = "Too few texts to judge, of which it takes {fewest}: {which}.\n\n"
_ADVICE = (
    "Shown to take more from one group than from another than {reference} does: {which}. Distil on "
    "more texts of the group that loses, or serve a larger variant."
)


def report(family: str, found: Mapping[str, GroupReport]) -> str:
    """Write the tables of a family's variants, which were measured at once."""
    first = next(iter(found.values()))
    parts = [_REPORT.format(family=family, n=first.n, reference=first.reference)]
    for at, column in enumerate(first.columns):
        parts.append(f"## {escaped(column.column)}\n\n")
        for place in range(len(column.measures)):
            its = {name: each.columns[at].measures[place] for name, each in found.items()}
            parts.append(_measure(its, first))
    return "".join(parts)


def advice(found: Mapping[str, GroupReport]) -> str:
    """Say which variants are shown to lose more in one group than in another."""
    reference = next(iter(found.values())).reference
    shown = [
        f"{name} ({_title(measure)} by {escaped(column.column)})"
        for name, of in found.items()
        for column in of.columns
        for measure in column.measures
        if measure.change_gap and measure.change_gap.low > 0
    ]
    if not shown:
        return f"No variant is shown to change one group more than another, against {reference}."
    return _ADVICE.format(reference=reference, which="; ".join(shown))


def groups(manifest: Manifest) -> str:
    """Write the card's section on groups; empty if they were not measured."""
    found = manifest.group_report
    if found is None:
        return ""
    parts = [_SECTION.format(**vars(found))]
    for column in found.columns:
        rows = [
            (
                f"{_title(measure)}, {escaped(each.group)}",
                f"{each.n:,}",
                percent(each.value, unit=""),
                percent(each.change, unit=""),
            )
            for measure in column.measures
            for each in measure.groups
        ]
        if rows:
            header = (f"{escaped(column.column)}", "texts", "value, %", "change, points")
            parts.append(f"{table(header, rows)}\n")
        gaps = [
            (_title(each), percent(each.gap, unit=""), percent(each.change_gap, unit=""))
            for each in column.measures
            if each.gap
        ]
        if gaps:
            of_gaps = ("largest gap between groups", "points", "in change, points")
            parts.append(f"{table(of_gaps, gaps)}\n")
        parts += [
            _too_small(each.too_small, _title(each), found.fewest) for each in column.measures
        ]
    return "".join([*parts, _COMMAND.format(family=manifest.family)])


def _measure(found: Mapping[str, GroupMeasure], of: GroupReport) -> str:
    """One figure of all variants: by group, and the largest gaps."""
    first = next(iter(found.values()))
    title = f"### {_title(first)[0].upper()}{_title(first)[1:]}, %\n\n"
    rows: list[tuple[str, ...]] = [
        (
            escaped(each.group),
            f"{each.n:,}",
            *(percent(its.groups[at].value, unit="") for its in found.values()),
        )
        for at, each in enumerate(first.groups)
    ]
    if first.gap:
        gaps = (percent(its.gap, unit="") for its in found.values())
        changes = (percent(its.change_gap, unit="") for its in found.values())
        rows += [
            ("largest gap", UNDEFINED, *gaps),
            (f"largest gap in the change against {of.reference}", UNDEFINED, *changes),
        ]
    shown = f"{table(('group', 'texts', *found), rows)}\n" if rows else ""
    return title + shown + _too_small(first.too_small, "", of.fewest)


def _too_small(groups_: Sequence[SmallGroup], title: str, fewest: int) -> str:
    if not groups_:
        return ""
    which = ", ".join(f"{escaped(each.group)} ({each.n})" for each in groups_)
    return _SMALL.format(fewest=fewest, which=f"for {title}, {which}" if title else which)


def _title(of: GroupMeasure) -> str:
    name = of.measure.replace("false_positive_rate", "false-positive rate")
    return name if of.label is None else f"{name} of {escaped(of.label)}"
