"""The columns that a job adds: what each answer says, and what it decides."""

from collections.abc import Mapping, Sequence
from typing import Any

from serving.bundles.bundle import Bundle, Manifest
from serving.bundles.decisions import DECISIONS_NAME, Decisions, applied, check_decisions
from serving.bundles.family_file import read_beside
from serving.bundles.probabilities import least_score, predicted_labels
from serving.bundles.windows import Long, Windows
from serving.offline.bulk_classifier import BulkAnswer
from serving.offline.tables import Added, Values

_ANSWERED: Added = {
    "label": "text",
    "labels": "names",
    "score": "number",
    "scores": "scores",
    "variant": "text",
    "version": "text",
    "truncated": "flag",
    "windows": "windows",
}
_DECIDED: Added = {"flagged": "flag", "decisions": "names"}
_FAILED: Added = {"error": "text"}


class Columns:
    """The added columns of one variant, without a job's prefix.

    If the family has decisions, `flagged` tells whether any is true and `decisions` names the
    labels that are flagged. Both are empty if there are none for the variant, and for a long text
    that was read otherwise than when they were made.
    """

    def __init__(self, bundle: Bundle, windows: Windows, long: Long) -> None:
        """Raise BundleError if the family's decisions.json cannot be used."""
        self._manifest = bundle.manifest
        self._least = least_score(bundle.manifest)
        decisions = _decisions(bundle)
        self.decides_long = decisions is not None and decisions.long == long
        """Whether long texts are decided, too."""
        self.thresholds = _thresholds(decisions, bundle.manifest, windows)
        """The threshold of each decided label; None if the family has no decisions."""
        decided = _DECIDED if self.thresholds is not None else {}
        self.kinds: Added = {**_ANSWERED, **decided, **_FAILED}

    def values(self, answer: BulkAnswer | str) -> Values:
        """Return the values of one text, whose answer may be the reason why there is none."""
        nothing = dict.fromkeys(self.kinds)
        if isinstance(answer, str):
            return nothing | {"error": answer}
        manifest = self._manifest
        best = max(range(len(answer.scores)), key=answer.scores.__getitem__)
        scores = dict(zip(manifest.labels, answer.scores, strict=True))
        found = {
            "label": manifest.labels[best],
            "labels": predicted_labels(manifest.labels, answer.scores, self._least),
            "score": answer.scores[best],
            "scores": scores,
            "variant": manifest.variant,
            "version": manifest.version,
            "truncated": answer.truncated,
            "windows": _windows(manifest.labels, answer),
        }
        whole = not (answer.truncated or answer.windows)
        if self.thresholds and (whole or self.decides_long):
            flagged = [name for name, least in self.thresholds.items() if scores[name] >= least]
            found |= {"flagged": bool(flagged), "decisions": flagged}
        return nothing | found


def _windows(labels: Sequence[str], answer: BulkAnswer) -> dict[str, Any] | None:
    if not answer.windows:
        return None
    spans = zip(labels, answer.spans, strict=True)
    decided = {label: {"start": start, "end": end} for label, (start, end) in spans}
    return {"count": answer.windows, "labels": decided}


def _decisions(bundle: Bundle) -> Decisions | None:
    manifest = bundle.manifest
    decisions = read_beside(bundle, Decisions, DECISIONS_NAME)
    if decisions:
        check_decisions(decisions, manifest.family, {manifest.variant: manifest})
    return decisions


def _thresholds(
    decisions: Decisions | None, manifest: Manifest, windows: Windows
) -> Mapping[str, float] | None:
    found = applied(decisions, [manifest], None, windows).thresholds
    return None if found is None else found.get((manifest.variant, manifest.version), {})
