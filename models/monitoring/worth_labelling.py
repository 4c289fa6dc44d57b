"""Which logged texts are worth labelling: those that variants disagree on, and the least sure ones.

Uncertainty sampling: Lewis and Gale (1994). Query by committee: Seung, Opper, Sompolinsky (1992).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain, zip_longest
from pathlib import Path
from typing import Any

import numpy as np

from models.evaluation.predictions import Predictor, kind_of, predicted
from models.evaluation.statistics import Flags
from models.monitoring.log import Row, text_of, with_feedback
from models.monitoring.tables import write_table
from models.published.measuring import running
from serving.bundles.bundle import Bundle
from serving.inference.inputs import Text

_SEPARATOR = ","


@dataclass(frozen=True)
class Candidate:
    """A text without a label; `disagreement` is the share of variants against its answer."""

    row: Row
    uncertainty: float
    disagreement: float

    def cells(self) -> dict[str, Any]:
        """Return what is exported of it."""
        row = self.row
        pair = {} if row["text_pair"] is None else {"text_pair": row["text_pair"]}
        return {
            "text": row["text"],
            **pair,
            "label": "",
            "predicted": _SEPARATOR.join(row["predicted"]),
            "uncertainty": round(self.uncertainty, 4),
            "disagreement": round(self.disagreement, 4),
            "request_id": row["request_id"],
        }


def candidates(
    texts: Sequence[Row], feedback: Sequence[Row], bundles: Sequence[Bundle]
) -> list[Candidate]:
    """Return each different text without feedback, with what speaks for labelling it.

    Raises BundleError if one of the `bundles` cannot run.
    """
    single = kind_of(bundles[0].manifest) == "single_label"
    known = {text_of(row) for row, _ in with_feedback(texts, feedback)}
    rows: dict[Text, Row] = {}
    for row in texts:
        if text_of(row) not in known:
            rows.setdefault(text_of(row), row)
    disagreements = _disagreements(list(rows), list(rows.values()), bundles)
    return [
        Candidate(row, uncertainty(row["scores"], single=single), share)
        for row, share in zip(rows.values(), disagreements, strict=True)
    ]


def chosen(found: Sequence[Candidate], most: int) -> list[Candidate]:
    """Return at most so many, in turn the one of most disagreement and the least sure one."""
    by_variants = sorted(found, key=lambda each: (-each.disagreement, -each.uncertainty))
    by_scores = sorted(found, key=lambda each: -each.uncertainty)
    disputed = [each for each in by_variants if each.disagreement]
    order = chain.from_iterable(zip_longest(disputed, by_scores))
    unique = {id(each): each for each in order if each is not None}
    return list(unique.values())[:most]


def uncertainty(scores: Sequence[float], *, single: bool) -> float:
    """Return 1 for a tie and 0 for certainty, by the smallest margin to another answer."""
    if not single:
        return 1 - min(abs(2 * score - 1) for score in scores)
    second, first = sorted([0.0, *scores])[-2:]
    return 1 - (first - second)


def export(found: Sequence[Candidate], path: Path) -> None:
    """Write a table for labelling tools: CSV or, if the name says so, JSON Lines."""
    rows = [each.cells() for each in found]
    write_table(path, rows, list(rows[0]))


def _disagreements(
    texts: Sequence[Text], rows: Sequence[Row], bundles: Sequence[Bundle]
) -> list[float]:
    """Run the bundles that read such texts; return which share of them answers otherwise."""
    others = np.zeros(len(rows))
    asked = 0
    for bundle in bundles:
        manifest = bundle.manifest
        alike = [{*row["labels"]} == {*manifest.labels} for row in rows]
        if manifest.tensors or not texts or not all(alike):
            continue
        if manifest.pairs != isinstance(texts[0], tuple):
            continue
        asked += 1
        others += _answers_otherwise(bundle, texts, rows)
    return list(others / max(1, asked))


def _answers_otherwise(bundle: Bundle, texts: Sequence[Text], rows: Sequence[Row]) -> Flags:
    labels = bundle.manifest.labels
    logged = np.array([[label in row["predicted"] for label in labels] for row in rows])
    otherwise = np.zeros(len(rows), dtype=np.bool_)
    with running(bundle):
        predictor = Predictor(bundle)
        able = np.flatnonzero(predictor.lengths(texts) > 0)
        if able.size:
            answers = predicted(
                predictor.logits([texts[int(at)] for at in able]), kind_of(bundle.manifest)
            )
            otherwise[able] = (answers != logged[able]).any(axis=1)
    return otherwise
