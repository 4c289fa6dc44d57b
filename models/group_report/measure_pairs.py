"""The command `groups --pairs`: what swapping pronouns, names and places does to a family."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np

from models.group_report.pairs import PairAnswers, figures
from models.perturbations.counterfactuals import SWAPS, Pair, pair_of
from models.progress import progress
from models.published.publishing import publish_measured
from models.published.texts import Columns
from models.reports import pair_tables
from models.reports.files import figures_of
from models.robustness.answers import Variant, variants_of
from models.robustness.texts import texts_of
from serving.bundles.bundle import CARD_NAME
from serving.bundles.group_report import Counterfactuals

FIGURES_NAME, TABLES_NAME = "pairs.json", "pairs.md"
_SEED = 0


def report_pairs(
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
    """Measure FAMILY's variants, or FAMILY/VARIANT, on pairs of texts, against the reference.

    The texts are those of `files`, or of the test split in `build`; no label is read. The figures
    go into `output`, then into each variant's manifest and card in the registry. What has been
    answered is kept in `build`. Raises RecipeError or BundleError in a sentence.
    """
    family = target.partition("/")[0]
    variants, chosen, reference = variants_of(
        target, registry, build / "cache" / "groups", reference, tell
    )
    first = variants[reference]
    texts = texts_of(first.bundle, files, columns, build)
    plain = [str(text) for text in texts.texts]
    pairs = {swap: [pair_of(text, swap, _SEED) for text in plain] for swap in SWAPS}
    labels = first.manifest.labels
    found = _answers(variants, list(pairs.values()), labels)
    inside = {swap: float(np.mean([each.inside for each in its])) for swap, its in pairs.items()}
    measured = figures(found, inside, labels, reference)
    result = {
        name: Counterfactuals(
            reference=reference,
            reference_version=first.manifest.version,
            texts_sha256=texts.sha256,
            n=len(plain),
            variants=len(variants),
            swaps=measured[name],
        )
        for name in variants
    }
    tell(pair_tables.report(family, result))
    tell(pair_tables.advice(result))
    _write(family, result, output)
    tell(f"Wrote {output / TABLES_NAME} and {output / FIGURES_NAME}")
    for name in chosen:
        fields = {"counterfactuals": result[name]}
        done = publish_measured(variants[name].bundle, fields, registry, tell)
        tell(f"Wrote {done.path(CARD_NAME)}")


def _answers(
    variants: Mapping[str, Variant], pairs: Sequence[Sequence[Pair]], labels: Sequence[str]
) -> dict[str, PairAnswers]:
    """Run all variants on both sides of the pairs of each swap."""
    sides = [
        side
        for its in pairs
        for side in ([each.first for each in its], [each.second for each in its])
    ]
    found = {}
    with progress(total=len(sides) * len(variants), does="pairs", units="runs") as bar:
        for name, each in variants.items():
            places = [each.manifest.labels.index(label) for label in labels]
            logits = []
            for side in sides:
                logits.append(each.logits(side)[:, places])
                bar.update()
            shape = (len(pairs), 2, len(pairs[0]), len(labels))
            found[name] = PairAnswers(
                np.stack(logits).reshape(shape), each.problem_type, each.manifest.temperature
            )
    return found


def _write(family: str, found: Mapping[str, Counterfactuals], output: Path) -> None:
    output.mkdir(parents=True, exist_ok=True)
    (output / FIGURES_NAME).write_text(figures_of(family, found), encoding="utf-8")
    (output / TABLES_NAME).write_text(pair_tables.report(family, found), encoding="utf-8")
