"""Admission: whether a request fits the queue and its deadline."""

from serving.errors import DeadlineMissed


def missed(left_s: float, predicted_s: float) -> DeadlineMissed:
    """The refusal of work that would end after its deadline."""
    return DeadlineMissed(
        f"the answer would take {predicted_s * 1e3:.0f} ms: allow more time or send less at a time",
        field="deadline_ms",
        limit=round(left_s * 1e3),
        value=round(predicted_s * 1e3),
    )
