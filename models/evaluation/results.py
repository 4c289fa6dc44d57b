"""What the evaluation of a bundle leaves in the build folder, written and read."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from models.data.labelled import indicator_matrix
from models.evaluation.statistics import Flags
from models.recipe_sections import Split
from serving.bundles.evaluation import Agreement, Evaluation

_EVALUATIONS_NAME = "evaluations.json"
_PREDICTIONS_NAME = "predictions.json"


@dataclass(frozen=True)
class Results:
    """A bundle's temperature and its evaluation on each split.

    With `agreement` the truth of the splits is what another bundle answers, so that every accuracy
    is an agreement with it, and `agreement` is the one on the test split.
    """

    temperature: float
    evaluations: Mapping[str, Evaluation]
    agreement: Agreement | None = None


def write_results(folder: Path, results: Results, predictions: Mapping[Split, Flags]) -> None:
    """Write `evaluations.json`, and `predictions.json` with each text's label indices by split."""
    splits = {split: evaluation.model_dump() for split, evaluation in results.evaluations.items()}
    agreement = results.agreement.model_dump() if results.agreement else None
    scored = {"temperature": results.temperature, "splits": splits, "agreement": agreement}
    (folder / _EVALUATIONS_NAME).write_text(json.dumps(scored, indent=2))
    indices = {
        split: [np.flatnonzero(row).tolist() for row in matrix]
        for split, matrix in predictions.items()
    }
    (folder / _PREDICTIONS_NAME).write_text(json.dumps(indices))


def read_results(folder: Path) -> Results:
    """Read what `write_results` wrote, without the predictions."""
    scored = json.loads((folder / _EVALUATIONS_NAME).read_text())
    evaluations = {split: Evaluation(**fields) for split, fields in scored["splits"].items()}
    agreement = Agreement(**scored["agreement"]) if scored.get("agreement") else None
    return Results(scored["temperature"], evaluations, agreement)


def read_predictions(folder: Path, split: Split, labels: int) -> Flags:
    """Read the predictions on a split, of shape (texts, labels)."""
    indices = json.loads((folder / _PREDICTIONS_NAME).read_text())
    return indicator_matrix(indices[split], labels)
