"""The command `live`: what a served family's text log says of it."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from models.monitoring import report
from models.monitoring.figures import label_shares, live_accuracy
from models.monitoring.log import read_log
from models.monitoring.worth_labelling import candidates, chosen, export
from models.published.publishing import bundles_of
from models.reports.files import write_report
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


def live(
    family: str,
    registry: Path,
    output: Path,
    wanted: Wanted,
    tell: Callable[[str], None] = print,
) -> Path | None:
    """Write the report of a family into `output`, and the texts that are worth labelling.

    Return the table of these; None if there are none. Raises BundleError or StartError.
    """
    bundles = bundles_of(family, registry)
    if bundles[0].manifest.problem_type == "regression":
        raise BundleError(f"{family} answers values, not labels: it takes no feedback")
    manifests = {each.manifest.variant: each.manifest for each in bundles}
    reference = best(manifests.values())
    log = read_log(wanted.url, wanted.keys, family, wanted.texts)
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
