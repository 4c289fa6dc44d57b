"""Rows of a text log, and a log that the server's own writer has written."""

from datetime import UTC, datetime

from serving.feedback.log_files import LogFiles
from serving.feedback.text_log import TextLog
from serving.settings import Settings

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


def write_log(folder, texts, feedback, keys=None):
    """Have the server's writer write these rows."""
    settings = Settings(text_log_flush_s=3600, text_log_texts_per_s=10_000, text_log_s=315_360_000)
    log = TextLog(LogFiles(str(folder), keys), settings)
    log.add_texts(texts)
    for row in feedback:
        log.add_feedback(row)
    log.close()
    return folder


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
