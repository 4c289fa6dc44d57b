"""Events that a server counts, for tests of its metrics.

Seconds are multiples of 2**-9: whole nanoseconds that floats hold exactly, so every sum is exact.
"""

import re

from serving.batching.batcher import BatchReport
from serving.bundles.bundle import Manifest
from serving.bundles.decisions import applied
from serving.bundles.windows import Windows
from serving.variants.answers import Answer, Classified, InWindows, summed_up
from tests.support.cascades import cascade_of
from tests.support.decisions import decider, decisions_of

TICK_S = 2**-9
CLASSIFY = "/v1/classify"
TINY, WIDE, NEXT = ("tone", "tiny", "t1"), ("tone", "wide", "w1"), ("tone", "tiny", "t2")
VERSIONS = {"tiny": "t1", "wide": "w1"}
CASCADE = cascade_of(VERSIONS)
THRESHOLDS = {"p": 0.5}


def manifest(variant, size=1000):
    """What of a manifest is published."""
    family, name, version = variant
    return Manifest.model_construct(
        family=family, variant=name, version=version, precision="int8", bytes=size
    )


def text(variant, ticks, *, truncated=False, degraded=False):
    """An answered text that has waited for `ticks`."""
    scores, seconds = [0.5, 0.5], ticks * TICK_S
    side = "right" if truncated else None
    return Answer(scores, scores, *variant[1:], 1.0, side, seconds, TICK_S, degraded=degraded)


def in_windows(variant, *counts):
    """Answered texts that were cut into so many windows."""
    found = [text(variant, 1) for _ in counts]
    for each, count in zip(found, counts, strict=True):
        each.windows = InWindows(count, [])
    return found


def one_pass(variant, texts, tokens=7, ticks=1):
    """A pass of a variant over texts, whose tokenization took `ticks`."""
    return Classified(["n", "p"], False, *variant[1:], texts, tokens, 0.0, ticks * TICK_S, None)


DECIDED = applied(
    decisions_of(
        decider(VERSIONS, THRESHOLDS, variant="tiny"),
        decider(VERSIONS, THRESHOLDS, cascade=CASCADE),
    ),
    [manifest(TINY), manifest(WIDE)],
    CASCADE,
    Windows(),
)


def answer(*passes, answers=None, escalated=None, thresholds=None):
    """A request's answer; without `answers`, those of the only pass."""
    given = passes[0].answers if answers is None else answers
    return summed_up("tone", given, list(passes), escalated, thresholds)


def flagged(texts, flags, *, cascade=False):
    """An answer of `tiny` alone, or of the cascade, to texts of which some are flagged."""
    given = [text(TINY, 1) for _ in range(texts)]
    for each in given[flags:]:
        each.scores = [0.9, 0.1]
    only = one_pass(TINY, given)
    counts = {"tiny": 0} if cascade else None
    return answer(only, escalated=counts, thresholds=DECIDED.thresholds)


def cascaded(stayed, escalated):
    """An answer of the cascade: some texts stayed with `tiny`, the others went on to `wide`."""
    first = [text(TINY, n) for n in range(stayed + escalated)]
    second = [text(WIDE, 3, truncated=True) for _ in range(escalated)]
    passes = [one_pass(TINY, first)] + ([one_pass(WIDE, second, 5)] if escalated else [])
    counts = {"tiny": escalated} | ({"wide": 0} if escalated else {})
    return answer(*passes, answers=first[:stayed] + second, escalated=counts)


def batch(variant, texts, tokens, padding, ticks):
    """A batch that the engine has finished."""
    return BatchReport(variant, texts, tokens, padding, ticks * TICK_S)


# (method of Metrics, its arguments), in order.
LOADED = [
    ("add_variant", manifest(TINY), "onnxruntime"),
    ("add_variant", manifest(WIDE, 4000), "openvino"),
    ("set_refused", {"tone": 2, "mood": 1}),
    ("set_unproven", {"tone": 1}),
    ("set_decisions", {"tone": DECIDED}),
    ("set_cascades", {"tone": CASCADE}),
]
EVENTS = [
    ("record_request", CLASSIFY, "tone", 200, 0.0),
    ("record_request", CLASSIFY, "tone", 200, 5 * TICK_S),
    ("record_request", CLASSIFY, "tone", 429, 0.0625, "overloaded"),
    ("record_callers_failure",),
    ("record_request", CLASSIFY, "", 503, TICK_S),
    ("record_request", "/v1/models", "", 200, 0.25),
    ("record_request", "", "", 404, 64.0),
    ("record_rejected", "overloaded"),
    ("record_rejected", "overloaded"),
    ("record_rejected", "draining"),
    ("record_check", "blocked", ""),
    ("record_check", "failed_open", "overloaded", 2),
    ("record_batch", batch(TINY, 1, 8, 0, 1)),
    ("record_batch", batch(TINY, 32, 1000, 24, 8)),
    ("record_batch", batch(NEXT, 300, 40_000, 0, 8)),
    ("record_batch", batch(WIDE, 3, 20, 4, 9000)),
    ("record_answer", answer(one_pass(TINY, [text(TINY, 1)]))),
    ("record_answer", answer(one_pass(TINY, [text(TINY, 2, degraded=True)] * 32, 640, 3))),
    ("record_answer", answer(one_pass(NEXT, [text(NEXT, n, truncated=True) for n in range(40)]))),
    ("record_answer", answer(one_pass(TINY, [*in_windows(TINY, 6, 2), text(TINY, 1)]))),
    ("record_answer", cascaded(7, 0)),
    ("record_answer", cascaded(5, 3)),
    ("record_answer", flagged(9, 4)),
    ("record_answer", flagged(3, 1, cascade=True)),
    ("record_reused", TINY, 1, 0),
    ("record_reused", WIDE, 2, 3),
    ("record_shadow", NEXT, 4, 1),
    ("record_shadow", WIDE, 4, 0),
    ("record_sample", "tone", 40, 0),
    ("record_sample", "tone", 40, 12),
]  # fmt: skip
LATER = [
    ("add_variant", manifest(NEXT, 1001), "onnxruntime"),
    ("remove_version", manifest(TINY)),
    ("set_refused", {"mood": 3}),
    ("set_cascades", {}),
    ("record_request", CLASSIFY, "tone", 504, 0.5),
    ("record_answer", cascaded(1, 1)),
    ("record_sample", "tone", 1, 1),
    ("set_cascades", {"tone": CASCADE}),
    ("record_answer", cascaded(0, 400)),
]  # fmt: skip


def record(metrics, events):
    """Let `metrics` have the events."""
    for method, *arguments in events:
        getattr(metrics, method)(*arguments)


def published(metrics):
    """The lines of the page, but for the process's own, with all buckets of a series on one line.

    When a series began is left out, and so are the bets on drift, which go by the order of texts.
    """
    queued = [(TINY, 3), (NEXT, 2), (WIDE, 0)]
    page, _ = metrics.page(queued, 2, ready=True)
    lines = []
    for line in page.decode().splitlines():
        bucket = re.fullmatch(r'(.*)_bucket{(.*),?le="(.*?)"(.*)} (.*)', line)
        if bucket:
            name, before, most, after, value = bucket.groups()
            series = f"{name}_buckets{{{before}{after.lstrip(',')}}}"
            if not lines[-1].startswith(f"{series} "):
                lines.append(f"{series} ")
            lines[-1] += f" {most}:{value}"
        elif re.match(r"\w+_created[{ ]", line):
            lines.append(line.rpartition(" ")[0])
        elif not re.match(
            r"(# (HELP|TYPE) )?process_|sizewise_(escalation|flagged)_log_capital{", line
        ):
            lines.append(line)
    return lines
