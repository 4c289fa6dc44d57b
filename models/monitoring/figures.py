"""Live accuracy by variant, and labels predicted more or less often than on the test split."""

from collections import defaultdict
from collections.abc import Mapping, Sequence

import numpy as np

from models.evaluation import simultaneous
from models.evaluation.statistics import proportion
from models.monitoring.log import Row, was_right
from serving.bundles.bundle import Manifest
from serving.bundles.evaluation import Estimate, Evaluation
from serving.bundles.files import Frozen


class LiveAccuracy(Frozen):
    """How often feedback says that a version of a variant was right."""

    variant: str
    version: str
    n: int
    accuracy: Estimate
    measured: Estimate | None
    """On the test split; None if this version is not in the registry, or was not evaluated."""

    @property
    def is_lower(self) -> bool:
        """Whether even the upper end is below the measured accuracy's lower end."""
        return self.measured is not None and self.accuracy.high < self.measured.low


class LabelShare(Frozen):
    """How often a label is predicted, on the test split and live."""

    label: str
    measured: Estimate
    live: Estimate

    @property
    def has_drifted(self) -> bool:
        """Whether the two intervals have nothing in common."""
        return self.live.low > self.measured.high or self.live.high < self.measured.low


def live_accuracy(feedback: Sequence[Row], manifests: Mapping[str, Manifest]) -> list[LiveAccuracy]:
    """Return the accuracy of each version by feedback, the one with most feedback first.

    Each interval is Clopper and Pearson's of 95 %.
    """
    found: dict[tuple[str, str], list[bool]] = defaultdict(list)
    for row in feedback:
        found[row["variant"], row["version"]].append(was_right(row))
    accuracies = []
    for (variant, version), hits in sorted(found.items(), key=lambda item: -len(item[1])):
        manifest = manifests.get(variant)
        judged = manifest.judged if manifest and manifest.version == version else None
        accuracies.append(
            LiveAccuracy(
                variant=variant,
                version=version,
                n=len(hits),
                accuracy=proportion(np.array(hits)),
                measured=judged.accuracy if judged else None,
            )
        )
    return accuracies


def label_shares(texts: Sequence[Row], reference: Manifest) -> list[LabelShare]:
    """Compare how often each label is predicted with what `reference` predicted on its test split.

    The intervals before hold together with 95 %, and those of now. Empty if there are no texts, or
    the manifest does not say how often.
    """
    judged = reference.judged
    counts = _predicted(judged, reference.labels) if judged else {}
    if judged is None or not counts or not texts:
        return []
    before = simultaneous.shares(
        np.array([np.arange(judged.n) < count for count in counts.values()])
    )
    live = simultaneous.shares(
        np.array([[name in row["predicted"] for row in texts] for name in counts])
    )
    return [
        LabelShare(label=name, measured=old, live=new)
        for name, old, new in zip(counts, before, live, strict=True)
    ]


def _predicted(judged: Evaluation, labels: Sequence[str]) -> dict[str, int]:
    """Return how many texts of the split were given each label, as far as that is known."""
    if judged.confusion:
        given = np.array(judged.confusion).sum(axis=0)
        return {name: int(count) for name, count in zip(labels, given, strict=True)}
    counts = {}
    for name, score in judged.labels.items():
        if score.precision is None:
            counts[name] = 0
        elif score.precision:
            counts[name] = round((score.recall or 0.0) * score.texts / score.precision)
    return counts
