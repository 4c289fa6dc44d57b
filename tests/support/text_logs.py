"""Rows of a text log."""

from datetime import UTC, datetime

LABELS = ["negative", "positive"]
START_S = datetime(2026, 11, 28, tzinfo=UTC).timestamp()


def text_row(request_id, text, positive, *, at_s=START_S, variant="large", **fields):
    """The log of a text whose score of the label `positive` is this."""
    return {
        "time": datetime.fromtimestamp(at_s, UTC),
        "caller": "search",
        "request_id": request_id,
        "index": 0,
        "model": "tone",
        "variant": variant,
        "version": "1",
        "predicted": [LABELS[positive >= 0.5]],
        "text": text,
        "text_pair": None,
        "labels": LABELS,
        "scores": [1 - positive, positive],
        **fields,
    }


def feedback_row(request_id, predicted, right, *, at_s=START_S, variant="large", **fields):
    """The log of feedback on an answer."""
    return {
        "time": datetime.fromtimestamp(at_s, UTC),
        "caller": "search",
        "request_id": request_id,
        "index": 0,
        "model": "tone",
        "variant": variant,
        "version": "1",
        "predicted": [predicted],
        "right": [right],
        **fields,
    }
