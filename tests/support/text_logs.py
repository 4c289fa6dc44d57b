"""Rows of a text log."""

from datetime import UTC, datetime

LABELS = ["negative", "positive"]
START_S = datetime(2026, 11, 28, tzinfo=UTC).timestamp()


def text_row(request_id, text, positive, **fields):
    """The log of a text whose score of the label `positive` is this."""
    answer = {
        "text": text, "text_pair": None, "labels": LABELS, "scores": [1 - positive, positive],
    }  # fmt: skip
    return _row(request_id, LABELS[positive >= 0.5], **answer | fields)


def feedback_row(request_id, predicted, right, **fields):
    """The log of feedback on an answer."""
    return _row(request_id, predicted, **{"right": [right]} | fields)


def _row(request_id, predicted, *, at_s=START_S, variant="large", **fields):
    return {
        "time": datetime.fromtimestamp(at_s, UTC),
        "caller": "search",
        "request_id": request_id,
        "index": 0,
        "model": "tone",
        "variant": variant,
        "version": "1",
        "predicted": [predicted],
        **fields,
    }
