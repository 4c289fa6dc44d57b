"""The columns that a job adds to a table."""

from collections.abc import Sequence
from typing import Any

from serving.bundles.bundle import Manifest
from serving.bundles.probabilities import least_score, predicted_labels
from serving.offline.bulk_classifier import Bulk, BulkAnswer
from serving.offline.progress import Progress
from serving.offline.tables import Added, Chunk, Values

COLUMNS: Added = {
    "label": "text",
    "labels": "names",
    "score": "number",
    "scores": "scores",
    "variant": "text",
    "version": "text",
    "truncated": "flag",
    "windows": "windows",
    "error": "text",
}


def rows_of(
    bulk: Bulk, manifest: Manifest, prefix: str, progress: Progress, chunk: Chunk
) -> list[Values]:
    """Return the added columns of one chunk."""
    nothing = dict.fromkeys(COLUMNS)
    least = least_score(manifest)

    def row(answer: BulkAnswer | str) -> Values:
        if isinstance(answer, str):
            return nothing | {"error": answer}
        best = max(range(len(answer.scores)), key=answer.scores.__getitem__)
        return nothing | {
            "label": manifest.labels[best],
            "labels": predicted_labels(manifest.labels, answer.scores, least),
            "score": answer.scores[best],
            "scores": dict(zip(manifest.labels, answer.scores, strict=True)),
            "variant": manifest.variant,
            "version": manifest.version,
            "truncated": answer.truncated,
            "windows": _windows(manifest.labels, answer),
        }

    rows = map(row, bulk.answers(chunk.texts, progress.add))
    return [{prefix + name: value for name, value in each.items()} for each in rows]


def _windows(labels: Sequence[str], answer: BulkAnswer) -> dict[str, Any] | None:
    if not answer.windows:
        return None
    spans = zip(labels, answer.spans, strict=True)
    decided = {label: {"start": start, "end": end} for label, (start, end) in spans}
    return {"count": answer.windows, "labels": decided}
