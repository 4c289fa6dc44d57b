"""Admission: whether a request has room and time, and the Retry-After of one that has not. Pure.

Rate limits of single callers are in access/rate_limits.py.
"""

from collections.abc import Callable, Sequence

from serving.batching.queue import Backlog, Flow, Terms
from serving.batching.scheduler import Scheduler
from serving.bundles.bundle import VariantKey
from serving.errors import DeadlineMissed, Draining, NotReady, Overloaded, retry_after_s

LOADING = "the models are being loaded: retry after the Retry-After delay"
LOADING_RETRY_AFTER_S = 1
RELOADING_RETRY_AFTER_S = 2


class Starting(NotReady):
    """The models are being loaded: the server has not been ready yet."""

    reason = "starting"


def check_ready(trouble: str, *, draining: bool, starting: bool) -> None:
    """Raise NotReady or Draining unless new requests are welcome: no `trouble`, not `draining`."""
    if draining:
        raise Draining("the server is shutting down: send to another replica")
    if trouble:
        raise not_ready(trouble, starting=starting)


def not_ready(detail: str, *, starting: bool = False) -> NotReady:
    """Make the refusal of a request that cannot be answered yet (`starting`), or not now."""
    kind = Starting if starting else NotReady
    return kind(detail, retry_after_s=LOADING_RETRY_AFTER_S)


def check_requests(requests: int, max_requests: int, backlog: Callable[[], Backlog]) -> None:
    """Raise Overloaded unless one more than this many requests may be answered at a time.

    `backlog` is read only for the Retry-After of a refusal.
    """
    if requests >= max_requests:
        raise Overloaded(
            f"the server is answering {requests} requests (limit {max_requests}); "
            "retry after the Retry-After delay",
            limit=max_requests,
            value=requests,
            retry_after_s=retry_after_s(backlog().total_s),
        )


def check_texts(
    scheduler: Scheduler,
    variant: VariantKey,
    lengths: Sequence[int],
    terms: Terms,
    now_s: float,
    *,
    max_queue_texts: int,
) -> Flow:
    """Check that texts of these lengths have room in their flow's queue and time to be answered.

    Returns their flow by the request's size. Raises Overloaded or DeadlineMissed.
    """
    flow, slot_s, work_s = scheduler.work_of(variant, lengths, terms.flow)
    queued = scheduler.queued_texts(variant, flow)
    if queued + len(lengths) > max_queue_texts:
        counted = flow.all_sizes()[: flow.size + 1]
        raise Overloaded(
            f"queue for {'/'.join(variant[:2])} is full ({queued} waiting, "
            f"limit {max_queue_texts}); retry after the Retry-After delay",
            field="texts",
            limit=max_queue_texts,
            value=queued + len(lengths),
            retry_after_s=retry_after_s(max(scheduler.wait_s(variant, each) for each in counted)),
        )
    left_s = terms.deadline_s - now_s
    if work_s > left_s:
        raise missed(left_s, work_s)
    # Texts that were queued before go ahead of everything that arrived after them, but those of a
    # large request only within their flow.
    ahead = terms.start_tag_s is not None
    wait_s = (
        0.0 if ahead and not flow.size else scheduler.wait_s(variant, flow, slot_s, ahead=ahead)
    )
    if (predicted_s := wait_s + work_s) > left_s:
        raise Overloaded(
            f"the answer would take {predicted_s * 1e3:.0f} ms because of requests ahead of it; "
            "retry after the Retry-After delay or allow more time",
            field="deadline_ms",
            limit=round(left_s * 1e3),
            value=round(predicted_s * 1e3),
            retry_after_s=retry_after_s(predicted_s - left_s),
        )
    return flow


def missed(left_s: float, predicted_s: float) -> DeadlineMissed:
    """Make the refusal of work that would end after its deadline."""
    return DeadlineMissed(
        f"the answer would take {predicted_s * 1e3:.0f} ms; allow more time or send fewer texts",
        field="deadline_ms",
        limit=round(left_s * 1e3),
        value=round(predicted_s * 1e3),
    )
