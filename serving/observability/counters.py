"""What a process has counted: whole numbers in rows, which metrics.py publishes when scraped.

A row is found by one dict look-up and its numbers are added to in place, so a request costs the
same with any number of idle models. There is no lock: everything here, scrapes included, belongs
to the thread of one event loop. Durations are whole nanoseconds, so sums do not depend on the
order of additions, nor on how events are spread over processes.
"""

from bisect import bisect_left
from collections.abc import Mapping
from operator import add
from typing import NamedTuple

from serving.background import FAILURES
from serving.batching.batcher import BatchReport
from serving.bundles.bundle import VariantKey
from serving.logs import OUT
from serving.observability.flags import flagged_texts
from serving.observability.recorder import CLIENT_LEFT, Inference, RefusalReason
from serving.observability.table import Sums, Table
from serving.variants.answers import FamilyAnswer

# 0.25 ms to 10 s, about x1.6 apart.
SECONDS = (
    0.00025, 0.0004, 0.00064, 0.001, 0.0016, 0.0025, 0.004, 0.0064, 0.01, 0.016, 0.025,
    0.04, 0.064, 0.1, 0.16, 0.25, 0.4, 0.64, 1.0, 1.6, 2.5, 4.0, 6.4, 10.0,
)  # fmt: skip
TEXTS = (1, 2, 4, 8, 16, 32, 64, 128, 256)
TOKENS = (8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096, 8192, 16384, 32768)
NS = 1e9


class Histogram(NamedTuple):
    """A histogram's place in a row: a number for each bucket from `start` on, then the sum.

    The sum is of observations times `scale`.
    """

    start: int
    bounds: tuple[float, ...]
    scale: float

    @property
    def buckets(self) -> slice:
        """Where the numbers of the buckets are, that of the unbounded one last."""
        return slice(self.start, self.total)

    @property
    def total(self) -> int:
        """Where the sum is."""
        return self.start + len(self.bounds) + 1

    @property
    def end(self) -> int:
        """The place after the histogram."""
        return self.total + 1


# A row of `requests`.
DURATION = Histogram(0, SECONDS, NS)
# A row of `versions`.
(
    ANSWERED, ANSWERED_TOKENS, TRUNCATED, DEGRADED, PADDING, CACHED, SHARED, WINDOWED, WINDOWS,
) = range(9)  # fmt: skip
TOKENIZE = Histogram(9, SECONDS, NS)
QUEUE = Histogram(TOKENIZE.end, SECONDS, NS)
ENGINE = Histogram(QUEUE.end, SECONDS, NS)
BATCH_TEXTS = Histogram(ENGINE.end, TEXTS, 1)
BATCH_TOKENS = Histogram(BATCH_TEXTS.end, TOKENS, 1)
# A row of `shadows`.
COMPARED, DIFFERENT = range(2)
# A row of `cascades`.
CASCADED, ESCALATED, SAMPLED, DISAGREED = range(4)
# A row of `decisions`.
DECIDED, FLAGGED = range(2)
# A row of `feedback`.
RIGHT, WRONG = range(2)
# A row of `callers`: requests by outcome, then texts and tokens of the answered ones.
SERVED, LIMITED, FAILED, INVALID, LEFT, SERVED_TEXTS, SERVED_TOKENS = range(7)
# The error of a caller that has reached its own limit.
OWN_LIMIT = "rate_limited"
# The caller of requests without a valid key; no caller of the callers file can have the name.
ANONYMOUS = "_anonymous"

# A row of `lags`.
LAG = Histogram(0, SECONDS, NS)

# Counting one event must not look up attributes of these.
_DURATION_NS = DURATION.total
_TOKENIZE, _TOKENIZE_NS = TOKENIZE.start, TOKENIZE.total
_QUEUE, _QUEUE_NS = QUEUE.start, QUEUE.total
_ENGINE, _ENGINE_NS = ENGINE.start, ENGINE.total
_BATCH_TEXTS, _BATCH_TEXTS_SUM = BATCH_TEXTS.start, BATCH_TEXTS.total
_BATCH_TOKENS, _BATCH_TOKENS_SUM = BATCH_TOKENS.start, BATCH_TOKENS.total


class Counters:
    """Counts events (see Recorder), and hands its sums to the counters of another process."""

    def __init__(self) -> None:
        self.requests = Table(DURATION.end)
        """By endpoint, model, status and reason."""
        self.callers = Table(7)
        """By caller: the requests to models."""
        self.callers_failures = Table(1)
        """Scans of the callers file that have failed, in one row."""
        self.rejected = Table(1)
        """By reason."""
        self.checks = Table(1)
        """Of requests for a proxy, by outcome and reason."""
        self.connections = Table(1)
        """Refused ones, by reason."""
        self.versions = Table(BATCH_TOKENS.end)
        """By model, variant and version; those unloaded long ago by model and variant alone."""
        self.shadows = Table(2)
        """By model, variant and version of the shadow."""
        self.cascades = Table(4)
        """By model."""
        self.escalated = Table(1)
        """By model and the variant that was not sure."""
        self.decisions = Table(2)
        """By model and what decided: a variant, or `cascade`."""
        self.feedback = Table(2)
        """By model and the variant that answered."""
        self.text_log = Table(1)
        """Rows of the text log, by what became of them."""
        self.lags = Table(LAG.end)
        """By kind of process."""
        self.log_lines = Table(1)
        """Those that were dropped, in one row."""
        self.failures = Table(1)
        """Of background tasks, in one row."""
        self.tables = {
            name: table for name, table in vars(self).items() if isinstance(table, Table)
        }

    def count_own(self) -> None:
        """Count what this process's log has dropped, and which of its tasks have failed."""
        if dropped := OUT.take_dropped():
            self.log_lines[()][0] += dropped
        if failed := FAILURES.take():
            self.failures[()][0] += failed

    def take(self) -> Sums:
        """Return what was counted since the last call, and start again at 0."""
        return {name: table.take() for name, table in self.tables.items() if table}

    def add(self, sums: Sums) -> None:
        """Count what another process has counted."""
        for name, rows in sums.items():
            table = self.tables[name]
            for key, counted in rows.items():
                row = table[key]
                row[:] = map(add, row, counted)

    def record_request(
        self,
        endpoint: str,
        model: str,
        status: int,
        seconds: float,
        reason: str = "",
        *,
        inference: Inference | None = None,
    ) -> None:
        """Count a request that has ended, whatever its outcome, and whose `inference` it was."""
        row = self.requests[endpoint, model, status, reason]
        row[bisect_left(SECONDS, seconds)] += 1
        row[_DURATION_NS] += int(seconds * NS)
        if inference is None:
            return
        row = self.callers[(inference.caller or ANONYMOUS,)]
        if status < 400:
            row[SERVED] += 1
            row[SERVED_TEXTS] += inference.texts
            row[SERVED_TOKENS] += inference.tokens
        elif reason == OWN_LIMIT:
            row[LIMITED] += 1
        elif status == 429 or status >= 500:
            row[FAILED] += 1
        else:
            row[LEFT if status == CLIENT_LEFT else INVALID] += 1

    def record_callers_failure(self) -> None:
        """Count a scan that could not use the callers file."""
        self.callers_failures[()][0] += 1

    def record_lag(self, process: str, seconds: float) -> None:
        """Count by how much an event loop was late."""
        row = self.lags[(process,)]
        row[bisect_left(SECONDS, seconds)] += 1
        row[LAG.total] += int(seconds * NS)

    def record_rejected(self, reason: str) -> None:
        """Count a valid request that was refused."""
        self.rejected[(reason,)][0] += 1

    def record_check(self, outcome: str, reason: str, requests: int = 1) -> None:
        """Count requests that were checked for a proxy, by what became of them and why."""
        self.checks[outcome, reason][0] += requests

    def record_refused_connection(self, reason: RefusalReason) -> None:
        """Count a connection that was refused, or ended before its client was done."""
        self.connections[(reason,)][0] += 1

    def record_answer(self, answer: FamilyAnswer) -> None:
        """Count the answered texts of one request."""
        family, versions = answer.family, self.versions
        for each in answer.passes:
            row = versions[family, each.variant, each.version]
            row[ANSWERED_TOKENS] += each.tokens
            row[_TOKENIZE + bisect_left(SECONDS, each.tokenize_s)] += 1
            row[_TOKENIZE_NS] += int(each.tokenize_s * NS)
            bucket, queue_s, queue_ns = _QUEUE, 0.0, 0
            for text in each.answers:
                if text.queue_s != queue_s:  # most texts of a request have waited as long
                    queue_s = text.queue_s
                    bucket, queue_ns = _QUEUE + bisect_left(SECONDS, queue_s), int(queue_s * NS)
                row[bucket] += 1
                row[_QUEUE_NS] += queue_ns
                if text.windows:
                    row[WINDOWED] += 1
                    row[WINDOWS] += text.windows.count
        variant = version = None
        for text in answer.answers:
            if text.version is not version or text.variant is not variant:
                variant, version = text.variant, text.version
                row = versions[family, variant, version]
            row[ANSWERED] += 1
            row[TRUNCATED] += text.truncated is not None
            row[DEGRADED] += text.degraded
        if answer.escalated is not None:
            self._record_cascade(family, len(answer.answers), answer.escalated)
        if answer.thresholds:
            for decider, (texts, flagged) in flagged_texts(answer).items():
                row = self.decisions[family, decider]
                row[DECIDED] += texts
                row[FLAGGED] += flagged
                self.watch_flagged(family, decider, texts, flagged)

    def _record_cascade(self, family: str, texts: int, escalated: Mapping[str, int]) -> None:
        hits = next(iter(escalated.values()))
        row = self.cascades[(family,)]
        row[CASCADED] += texts
        row[ESCALATED] += hits
        for variant, its_texts in escalated.items():
            self.escalated[family, variant][0] += its_texts
        self.watch(family, texts, hits)

    def watch(self, family: str, texts: int, hits: int) -> None:
        """Do nothing: Metrics watches cascades, wherever their texts were counted."""

    def watch_sample(self, family: str, texts: int, disagreements: int) -> None:
        """Do nothing, as `watch`."""

    def watch_flagged(self, family: str, decider: str, texts: int, flagged: int) -> None:
        """Do nothing, as `watch`."""

    def record_feedback(self, model: str, variant: str, *, is_right: bool) -> None:
        """Count feedback on an answer."""
        self.feedback[model, variant][RIGHT if is_right else WRONG] += 1

    def record_text_log(self, outcome: str, rows: int) -> None:
        """Count rows of the text log, by what became of them."""
        self.text_log[(outcome,)][0] += rows

    def record_batch(self, report: BatchReport) -> None:
        """Count a batch that the engine has finished."""
        row = self.versions[report.variant]
        tokens = report.tokens + report.padding_tokens
        row[PADDING] += report.padding_tokens
        row[_ENGINE + bisect_left(SECONDS, report.engine_s)] += 1
        row[_ENGINE_NS] += int(report.engine_s * NS)
        row[_BATCH_TEXTS + bisect_left(TEXTS, report.texts)] += 1
        row[_BATCH_TEXTS_SUM] += report.texts
        row[_BATCH_TOKENS + bisect_left(TOKENS, tokens)] += 1
        row[_BATCH_TOKENS_SUM] += tokens

    def record_reused(self, variant: VariantKey, cached: int, shared: int) -> None:
        """Count texts of one request that were cached or ran for another request."""
        row = self.versions[variant]
        row[CACHED] += cached
        row[SHARED] += shared

    def record_shadow(self, variant: VariantKey, texts: int, disagreements: int) -> None:
        """Count texts that a shadow has classified, and how many of them got other labels."""
        row = self.shadows[variant]
        row[COMPARED] += texts
        row[DIFFERENT] += disagreements

    def record_sample(self, family: str, texts: int, disagreements: int) -> None:
        """Count sampled texts of a cascade, and how many the reference labels otherwise."""
        row = self.cascades[(family,)]
        row[SAMPLED] += texts
        row[DISAGREED] += disagreements
        self.watch_sample(family, texts, disagreements)
