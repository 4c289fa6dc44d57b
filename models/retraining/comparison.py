"""New versions beside the live ones on the same labelled texts."""

from collections.abc import Sequence

import numpy as np

from models.data.labelled import LabelledText, LabelSet, label_matrix
from models.evaluation.predictions import Predictor, kind_of, predicted
from models.evaluation.statistics import Flags, correct, paired, proportion
from models.published.measuring import running
from models.retraining.record import VersionFigures
from serving.bundles.bundle import Bundle


def compare(
    live: Bundle, made: Bundle, texts: Sequence[LabelledText], labels: LabelSet
) -> VersionFigures | None:
    """Compare two versions of a variant on texts whose labels are indices into `labels`.

    None without a text. Raises BundleError if a version cannot run.
    """
    if not texts:
        return None
    before, after = (_hits(each, texts, labels) for each in (live, made))
    return VersionFigures(
        live=live.manifest.version,
        made=made.manifest.version,
        texts=len(texts),
        live_accuracy=proportion(before),
        accuracy=proportion(after),
        versus=paired(after, before),
    )


def _hits(bundle: Bundle, texts: Sequence[LabelledText], labels: LabelSet) -> Flags:
    """Return which texts a bundle gives all labels of, and no other, of shape (texts,)."""
    order = [labels.names.index(name) for name in bundle.manifest.labels]
    truth = np.asarray(label_matrix(texts, labels)[:, order])
    with running(bundle):
        logits = Predictor(bundle).logits([each.text for each in texts])
    return correct(truth, predicted(logits, kind_of(bundle.manifest)))
