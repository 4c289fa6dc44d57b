"""How faithful explanations are, as tables: for the terminal and for the model card."""

from collections.abc import Mapping

from models.evaluation.faithfulness import TOP_WORDS
from models.reports.markdown import UNDEFINED, table
from serving.bundles.bundle import Manifest
from serving.bundles.evaluation import Estimate, Explanations

_SECTION = """## Explanations

The mean score of a label while words are deleted or inserted, those of the largest contribution
first: over {n:,} texts, with 95 % intervals. The label is the one that version
`{reference_version}` of {reference} predicts. Contributions are by the method {method} with a
budget of {budget} texts each; at random is the mean of {random_orders} orders.

{curves}
{figures}
An area is that between two curves, above 0 if the explanation's order is the better one. Measured
by

```
python -m models explain {family} --data FILE --method {method} --budget {budget} --texts {n}
```
"""


def summary(found: Mapping[str, Explanations]) -> str:
    """Tabulate the figures of a family's variants."""
    rows = [(variant, *_figures(each).values()) for variant, each in found.items()]
    return table(("variant", *_figures(next(iter(found.values())))), rows)


def explanations(manifest: Manifest) -> str:
    """Write the card's section on explanations; empty if they were not measured."""
    found = manifest.explanations
    if found is None:
        return ""
    header = (
        "words", "deleted in the explanation's order", "deleted at random",
        "inserted in the explanation's order", "inserted at random",
    )  # fmt: skip
    points = [
        (
            f"{point.words:.0%}".replace("%", " %"),
            *map(
                _in_words,
                (point.deletion, point.random_deletion, point.insertion, point.random_insertion),
            ),
        )
        for point in found.curves
    ]
    return _SECTION.format(
        **vars(found) | {"curves": table(header, points)},
        family=manifest.family,
        figures=table(("figure", "value"), _figures(found).items()),
    )


def _figures(of: Explanations) -> dict[str, str]:
    return {
        "deletion: area gained over random": _in_words(of.deletion),
        "insertion: area gained over random": _in_words(of.insertion),
        f"rank correlation with {of.reference}": _in_words(of.rank_correlation),
        f"overlap of {TOP_WORDS} words with {of.reference}": _in_words(of.top_overlap),
    }


def _in_words(estimate: Estimate | None) -> str:
    if estimate is None:
        return UNDEFINED
    return f"{estimate.value:.3f} ({estimate.low:.3f} to {estimate.high:.3f})"
