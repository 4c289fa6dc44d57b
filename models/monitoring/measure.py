"""The command `live`: what a served family's text log says of it."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from models.monitoring import report
from models.monitoring.figures import label_shares, live_accuracy
from models.monitoring.log import FamilyLog, read_log
from models.monitoring.tables import (
    LabelledTexts,
    labelled_texts,
    logged_texts,
    write_labelled,
    write_unlabelled,
)
from models.monitoring.worth_labelling import candidates, chosen, export
from models.published.publishing import bundles_of
from models.reports.files import write_report
from serving.bundles.bundle import Manifest
from serving.bundles.ranking import best
from serving.errors import BundleError


@dataclass(frozen=True)
class Wanted:
    """Where the log is, how many of its newest texts to read, and how many to export and how."""

    url: str
    keys: Path | None
    texts: int
    exported: int
    suffix: str
    labelled: Path | None = None
    unlabelled: Path | None = None
    """Where the logged texts go: those with feedback and their labels, and all without labels."""


def live(
    family: str,
    registry: Path,
    output: Path,
    wanted: Wanted,
    tell: Callable[[str], None] = print,
) -> Path | None:
    """Write the report of a family into `output`, and the texts that are worth labelling.

    Return the table of these; None if there are none. The wanted tables of logged texts come first.
    Raises BundleError or StartError.
    """
    bundles = bundles_of(family, registry)
    if bundles[0].manifest.problem_type == "regression":
        raise BundleError(f"{family} answers values, not labels: it takes no feedback")
    manifests = {each.manifest.variant: each.manifest for each in bundles}
    reference = best(manifests.values())
    log = read_log(wanted.url, wanted.keys, family, wanted.texts)
    write_tables(log, manifests[reference], wanted, tell)
    found = candidates(log.texts, log.feedback, bundles)
    figures = report.Live(
        family=family,
        reference=reference,
        texts=len(log.texts),
        feedback=len(log.feedback),
        accuracies=live_accuracy(log.feedback, manifests),
        labels=label_shares(log.texts, manifests[reference]),
        candidates=len(found),
        disputed=sum(each.disagreement > 0 for each in found),
    )
    tables = report.markdown(figures)
    tell(tables)
    draw = partial(report.draw, figures)
    tell(write_report(output, "live", tables, report.as_json(figures), draw))
    if not found:
        return None
    path = output / f"worth-labelling{wanted.suffix}"
    best_texts = chosen(found, wanted.exported)
    export(best_texts, path)
    tell(f"Wrote {path}: {len(best_texts):,} texts worth labelling, to be kept as long as the log")
    return path


def write_tables(
    log: FamilyLog, manifest: Manifest, wanted: Wanted, tell: Callable[[str], None]
) -> None:
    """Write the wanted tables of logged texts, and say what they are a sample of."""
    everything = logged_texts(log, manifest)
    if wanted.labelled:
        found = labelled_texts(log, manifest)
        write_labelled(wanted.labelled, found.texts, manifest)
        tell(
            f"Wrote {wanted.labelled}: {len(found.texts):,} texts with the labels of their feedback"
            f"{left_out(found)}. {selection(len(found.texts), len(everything))}"
        )
    if wanted.unlabelled:
        write_unlabelled(wanted.unlabelled, everything, manifest)
        tell(f"Wrote {wanted.unlabelled}: {len(everything):,} logged texts, without labels")


def left_out(found: LabelledTexts) -> str:
    """Say what feedback is left out, as the end of a sentence."""
    reasons = []
    if found.textless:
        reasons.append(f"{found.textless:,} on texts that are not in what was read of the log")
    if found.unknown:
        reasons.append(f"{found.unknown:,} with labels that the family cannot give")
    return f" (left out: feedback {' and '.join(reasons)})" if reasons else ""


def selection(labelled: int, logged: int) -> str:
    """Say whether labelled texts are a random sample of the logged ones."""
    if labelled == logged:
        return "That is every logged text: a random sample of the callers who consent."
    return (
        f"That is {labelled:,} of {logged:,} logged texts, chosen by those who gave feedback: no "
        "random sample, which guarantees need. Learn from them; to calibrate, label a whole sample."
    )
