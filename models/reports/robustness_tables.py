"""What altered texts do to variants, as tables: for the terminal, the report and the model card."""

from collections.abc import Callable, Mapping

from models.perturbations.kinds import in_words
from models.reports.markdown import UNDEFINED, percent, table
from serving.bundles.bundle import Manifest
from serving.bundles.evaluation import Estimate, Robustness, StressDrop, Stressed

_REPORT = """# {family} on altered texts

{n:,} texts, seed {seed}. The intervals of a table hold together with 95 %, over all of its kinds,
strengths and variants.

## Accuracy, %

{accuracy}
## Flips: answers other than that to the unaltered text, %

{flips}
## Expected calibration error, %

{errors}
## Compression gap: accuracy lost beyond what {reference} loses, points

{gaps}
{others}"""
_SECTION = """## Robustness

On {n:,} texts that were altered by kind and strength (seed {seed}); the intervals of a column hold
together with 95 %, over all kinds, strengths and the {variants} variants that were measured. The
gap is the accuracy that is lost beyond what version `{reference_version}` of {reference} loses.

{conditions}
{others}Measured by

```
python -m models stress {family} --texts {n} --seed {seed}
```
"""
_NEGATIONS = (
    "Of {pairs} pairs of a sentence and its negation, from templates, the answer flips in "
    "{flipped:.0%}, and both are right in {right:.0%}.\n"
)
_WORST = (
    "A search that alters single words, at most {queries} times a text, flips the answers to "
    "{share} of {n:,} texts.\n"
)
_DROP = (
    "Of the kinds that keep a text's meaning, {name}, may cost most accuracy, by the interval's "
    "upper end: {drop}.\n"
)
_COUNTED = "## Negations and the worst case\n\n{table}{said}"
_PAIRS = "\nNegations: {pairs} pairs of a sentence and its negation, from templates.\n"
_SEARCHED = (
    "\nWorst case, on {n:,} texts: a search that alters single words, at most {queries} times a "
    "text.\n"
)
_ADVICE = (
    "Shown to lose more than {reference}: {which}. To train against it, set `augmented_copies = 1` "
    "and `augmented_by = [{kinds}]` in [distill] or [static] of the recipe."
)


def report(family: str, found: Mapping[str, Robustness]) -> str:
    """Write the tables of a family's variants, which were measured at once."""
    first = next(iter(found.values()))
    smaller = {name: each for name, each in found.items() if name != first.reference}
    return _REPORT.format(
        family=family,
        n=first.n,
        seed=first.seed,
        reference=first.reference,
        accuracy=_by_condition(found, lambda each: each.accuracy, lambda of: of.accuracy),
        flips=_by_condition(found, lambda each: each.flips),
        errors=_by_condition(
            found, lambda each: each.calibration_error, lambda of: of.calibration_error
        ),
        gaps=_by_condition(smaller, lambda each: each.gap) if smaller else "None: one variant.\n",
        others=_counted(found),
    )


def advice(found: Mapping[str, Robustness]) -> str:
    """Say which variants are shown to lose more than the reference, and what to do about it."""
    reference = next(iter(found.values())).reference
    shown: dict[str, list[str]] = {}
    kinds: dict[str, None] = {}
    for name, of in found.items():
        for each in of.conditions:
            if each.gap and each.gap.low > 0:
                condition = f"{each.kind} ({in_words(each.kind, each.strength)})"
                shown.setdefault(name, []).append(condition)
                kinds[each.kind] = None
    if not shown:
        return f"No variant is shown to lose more than {reference}."
    return _ADVICE.format(
        reference=reference,
        which="; ".join(f"{name} under {', '.join(its)}" for name, its in shown.items()),
        kinds=", ".join(f'"{kind}"' for kind in kinds),
    )


def robustness(manifest: Manifest) -> str:
    """Write the card's section on robustness; empty if it was not measured."""
    found = manifest.robustness
    if found is None:
        return ""
    header = ("altered", "accuracy, %", "flips, %", "calibration error, %", "gap, points")
    rows = [
        (
            _name(each),
            percent(each.accuracy, unit=""),
            percent(each.flips, unit=""),
            percent(each.calibration_error, unit=""),
            percent(each.gap, unit=""),
        )
        for each in found.conditions
    ]
    plain = ("nothing", percent(found.accuracy, unit=""), UNDEFINED)
    rows.insert(0, (*plain, percent(found.calibration_error, unit=""), UNDEFINED))
    return _SECTION.format(
        **vars(found) | {"conditions": table(header, rows)},
        family=manifest.family,
        others=_sentences(found),
    )


def _by_condition(
    found: Mapping[str, Robustness],
    of: Callable[[Stressed], Estimate | None],
    plain: Callable[[Robustness], Estimate] | None = None,
) -> str:
    conditions = next(iter(found.values())).conditions
    rows = [
        (_name(each), *(percent(of(its.conditions[at]), unit="") for its in found.values()))
        for at, each in enumerate(conditions)
    ]
    if plain:
        rows.insert(0, ("nothing", *(percent(plain(its), unit="") for its in found.values())))
    return table(("altered", *found), rows)


def _counted(found: Mapping[str, Robustness]) -> str:
    first = next(iter(found.values()))
    if not (first.negations or first.worst_case):
        return ""
    header = ("variant", "negations that flip, %", "both right, %", "worst case: flipped, %")
    rows = [
        (
            name,
            f"{100 * each.negations.flipped:.0f}" if each.negations else UNDEFINED,
            f"{100 * each.negations.right:.0f}" if each.negations else UNDEFINED,
            percent(each.worst_case.flipped if each.worst_case else None, unit=""),
        )
        for name, each in found.items()
    ]
    said = _PAIRS.format(**vars(first.negations)) if first.negations else ""
    said += _SEARCHED.format(**vars(first.worst_case)) if first.worst_case else ""
    return _COUNTED.format(table=table(header, rows), said=said)


def _sentences(of: Robustness) -> str:
    said = ""
    if of.largest_drop:
        drop = percent(of.largest_drop.drop, unit=" points")
        said += _DROP.format(name=_name(of.largest_drop), drop=drop)
    said += _NEGATIONS.format(**vars(of.negations)) if of.negations else ""
    if of.worst_case:
        share = percent(of.worst_case.flipped)
        said += _WORST.format(**vars(of.worst_case), share=share)
    return said and f"{said}\n"


def _name(of: Stressed | StressDrop) -> str:
    return f"{of.kind}, {in_words(of.kind, of.strength)}"
