"""The figures of an evaluation, computed from a bundle's predictions on one split. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from models.data.labelled import LabelSet
from models.evaluation.predictions import predicted, probabilities
from models.evaluation.statistics import (
    Flags,
    Floats,
    bootstrapped,
    brier_scores,
    calibrated_error,
    calibration_error,
    correct,
    label_scores,
    log_losses,
    macro_f1,
    paired,
    proportion,
)
from serving.bundles.evaluation import Band

_BANDS = 4
# Labels beyond which a confusion matrix is larger than all else that a manifest says.
_MOST_CONFUSED = 256


@dataclass(frozen=True)
class SplitPredictions:
    """A split's truth and a bundle's predictions on it, one text a batch.

    `truth` and `logits` have the shape (texts, labels). `batched` are the labels predicted in
    padded batches, `lengths` the texts' tokens.
    """

    truth: Flags
    logits: Floats
    batched: Flags
    lengths: Sequence[int]


def figures(
    found: SplitPredictions, labels: LabelSet, temperature: float, others: Mapping[str, Flags]
) -> dict[str, object]:
    """Compute the fields of Evaluation that follow from the predictions alone.

    `others` has other variants' predictions on the same texts, the teacher's first.
    """
    truth, kind = found.truth, labels.problem_type
    single = kind == "single_label"
    own = predicted(found.logits, kind)
    raw = probabilities(found.logits, kind, 1.0)
    tempered = probabilities(found.logits, kind, temperature)
    hits, texts = correct(truth, own), len(truth)
    brier = brier_scores(truth, tempered)
    losses = log_losses(truth, tempered, single_label=single)
    confusion = truth.T.astype(np.int64) @ own.astype(np.int64)
    return {
        "n": texts,
        "accuracy": proportion(hits),
        "macro_f1": macro_f1(truth, own),
        "expected_calibration_error": bootstrapped(
            lambda at: calibration_error(truth[at], tempered[at], single_label=single), texts
        ),
        "calibrated_error": calibrated_error(tempered, single_label=single),
        "uncalibrated_error": calibration_error(truth, raw, single_label=single),
        "brier": bootstrapped(lambda at: float(brier[at].mean()), texts),
        "negative_log_likelihood": bootstrapped(lambda at: float(losses[at].mean()), texts),
        "labels": label_scores(truth, own, list(labels.names)),
        "confusion": confusion.tolist() if single and len(confusion) <= _MOST_CONFUSED else None,
        "lengths": bands(found.lengths, hits),
        "agreement": next((proportion(correct(it, own)) for it in others.values()), None),
        "batch_flips": proportion(~correct(own, found.batched)),
        "versus": {name: paired(hits, correct(truth, other)) for name, other in others.items()},
    }


def bands(lengths: Sequence[int], hits: Flags) -> list[Band]:
    """Compute the accuracy in at most four bands of length, each with about as many texts.

    Bands ascend; texts of equal length are in the same band.
    """
    tokens = np.asarray(lengths)
    edges = np.unique(np.quantile(tokens, np.linspace(0, 1, _BANDS + 1), method="inverted_cdf"))
    low = edges[0] - 1
    found = []
    for high in edges[1:] if len(edges) > 1 else edges:
        inside = (tokens > low) & (tokens <= high)
        found.append(
            Band(
                shortest=int(tokens[inside].min()),
                longest=int(tokens[inside].max()),
                n=int(inside.sum()),
                accuracy=proportion(hits[inside]),
            )
        )
        low = high
    return found
