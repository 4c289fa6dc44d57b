"""What swapped words do to variants, as tables: for the terminal, the report and the model card."""

from collections.abc import Mapping

from models.reports.markdown import escaped, percent, table
from serving.bundles.bundle import Manifest
from serving.bundles.group_report import Counterfactuals, ScoreShift, SwappedWords

_REPORT = """# {family} on pairs of texts

{n:,} texts, of which each gives a pair for every kind of swap. The intervals of flips, of shifts
and of either's excess over {reference} each hold together with 95 %, over all swaps and variants.

"""
_SWAP = """## {title}

Words were swapped in {inside:.1%} of the texts, and the others put into a frame. A shift is a
score's mean change from the first side to the second.

{rows}
"""
_SECTION = """## Swapped words

{n:,} texts, each as of one side and of the other, in pronouns, first names and places; the
intervals of flips, of shifts and of either's excess each hold together with 95 %, over all swaps,
labels and the {variants} variants that were measured. Excess is over version
`{reference_version}` of {reference}.

{rows}
Measured by

```
python -m models groups {family} --pairs
```
"""
_ADVICE = (
    "Shown to flip more than {reference} where words are swapped: {which}. Distil on texts of both "
    "sides, or serve a larger variant."
)


def report(family: str, found: Mapping[str, Counterfactuals]) -> str:
    """Write the tables of a family's variants, which were measured at once."""
    first = next(iter(found.values()))
    parts = [_REPORT.format(family=family, n=first.n, reference=first.reference)]
    for at, swap in enumerate(first.swaps):
        its = [of.swaps[at] for of in found.values()]
        rows = [
            ("flips, %", *(percent(each.flips, unit="") for each in its)),
            ("excess flips, points", *(percent(each.excess, unit="") for each in its)),
        ]
        for row, shift in enumerate(swap.shifts):
            label, shifts = escaped(shift.label), [each.shifts[row] for each in its]
            rows += [
                (f"shift of {label}, points", *(percent(each.shift, unit="") for each in shifts)),
                (f"excess shift of {label}", *(percent(each.excess, unit="") for each in shifts)),
            ]
        parts.append(
            _SWAP.format(
                title=_title(swap), inside=swap.inside, rows=table(("figure", *found), rows)
            )
        )
    return "".join(parts)


def advice(found: Mapping[str, Counterfactuals]) -> str:
    """Say which variants are shown to flip more than the reference where words are swapped."""
    reference = next(iter(found.values())).reference
    shown = [
        f"{name} ({swap.swap})"
        for name, of in found.items()
        for swap in of.swaps
        if swap.excess and swap.excess.low > 0
    ]
    if not shown:
        return f"No variant is shown to flip more than {reference} where words are swapped."
    return _ADVICE.format(reference=reference, which=", ".join(shown))


def swapped_words(manifest: Manifest) -> str:
    """Write the card's section on swapped words; empty if they were not measured."""
    found = manifest.counterfactuals
    if found is None:
        return ""
    header = (
        "swapped", "flips, %", "excess, points", "label that shifts most", "shift, points",
        "excess, points",
    )  # fmt: skip
    rows = []
    for each in found.swaps:
        most = max(each.shifts, key=_reach)
        rows.append(
            (
                _title(each),
                percent(each.flips, unit=""),
                percent(each.excess, unit=""),
                escaped(most.label),
                percent(most.shift, unit=""),
                percent(most.excess, unit=""),
            )
        )
    return _SECTION.format(**vars(found), rows=table(header, rows), family=manifest.family)


def _reach(of: ScoreShift) -> float:
    return max(abs(of.shift.low), abs(of.shift.high))


def _title(of: SwappedWords) -> str:
    return f"{of.swap}: {of.first} to {of.second}"
