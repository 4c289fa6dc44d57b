"""Every Prometheus metric that the server publishes: name, meaning, labels, and what it reads.

Labels are the first parts of a row's key; rows that agree in these are added up.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Protocol

from prometheus_client import Counter
from prometheus_client.metrics_core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.utils import floatToGoString

from serving.observability import counters
from serving.observability.counters import Histogram, Key, Row, Table

NAMESPACE = "sizewise"

Labels = tuple[str, ...]
Gauges = Mapping[str, Mapping[Labels, float]]
"""Values by the metric's name and its labels' values."""

# False with the client library's PROMETHEUS_DISABLE_CREATED_SERIES=true.
_CREATED = any(
    sample.name.endswith("_created")
    for family in Counter("probe", "Of the client library.", registry=None).collect()
    for sample in family.samples
)


class Definition(Protocol):
    """A metric, without the namespace in its name."""

    name: str
    labels: Labels

    def family(self, tables: Mapping[str, Table], gauges: Gauges) -> Metric:
        """Make the metric family of a scrape."""


@dataclass
class _Gauge:
    name: str
    documentation: str
    labels: Labels = ()

    def family(self, _tables: Mapping[str, Table], gauges: Gauges) -> Metric:
        family = GaugeMetricFamily(_full(self.name), self.documentation, labels=self.labels)
        for labels, value in gauges.get(self.name, {}).items():
            family.add_metric(labels, value)
        return family


@dataclass
class _Counter:
    """Adds up some items of a table's rows."""

    name: str
    documentation: str
    labels: Labels
    table: str
    items: slice

    def family(self, tables: Mapping[str, Table], _gauges: Gauges) -> Metric:
        family = CounterMetricFamily(_full(self.name), self.documentation, labels=self.labels)
        for labels, row, created in _series(tables[self.table], len(self.labels)):
            family.add_metric(labels, sum(row[self.items]), created)
        return family


@dataclass
class _Split:
    """Publishes items of a table's rows as one counter, whose last label tells them apart."""

    name: str
    documentation: str
    labels: Labels
    table: str
    items: Mapping[str, int]

    def family(self, tables: Mapping[str, Table], _gauges: Gauges) -> Metric:
        family = CounterMetricFamily(_full(self.name), self.documentation, labels=self.labels)
        for labels, row, created in _series(tables[self.table], len(self.labels) - 1):
            for last, item in self.items.items():
                family.add_metric([*labels, last], row[item], created)
        return family


@dataclass
class _Histogram:
    """Adds up the histograms of a table's rows, without series that are empty unless told to."""

    name: str
    documentation: str
    labels: Labels
    table: str
    place: Histogram
    empty: bool = True

    def family(self, tables: Mapping[str, Table], _gauges: Gauges) -> Metric:
        name, (_, bounds, scale) = _full(self.name), self.place
        family = HistogramMetricFamily(name, self.documentation, labels=self.labels)
        places = [*map(floatToGoString, bounds), "+Inf"]
        for labels, row, created in _series(tables[self.table], len(self.labels)):
            counts = list(accumulate(row[self.place.buckets]))
            if not (counts[-1] or self.empty):
                continue
            named = dict(zip(self.labels, labels, strict=True))
            # add_metric does the same at twice the cost, and a scrape holds up the event loop.
            for most, count in zip(places, counts, strict=True):
                family.add_sample(f"{name}_bucket", named | {"le": most}, count)
            family.add_sample(f"{name}_count", named, counts[-1])
            family.add_sample(f"{name}_sum", named, row[self.place.total] / scale)
            if created is not None:
                family.add_sample(f"{name}_created", named, created)
        return family


def _full(name: str) -> str:
    return f"{NAMESPACE}_{name}"


def _series(table: Table, parts: int) -> Iterator[tuple[list[str], Row, float | None]]:
    """Yield the first `parts` of the keys, the sum of their rows, and when the first was added."""
    keys: dict[Key, list[Key]] = {}
    for key in (each for each in table if len(each) >= parts):
        keys.setdefault(key[:parts], []).append(key)
    for first, alike in keys.items():
        rows = [table[key] for key in alike]
        row = rows[0] if len(rows) == 1 else list(map(sum, zip(*rows, strict=True)))
        created = min(table.created[key] for key in alike)
        yield list(map(str, first)), row, created if _CREATED else None


_MODEL = ("model",)
_VARIANT = (*_MODEL, "variant")
_VERSION = (*_VARIANT, "version")
_BETS = (*_MODEL, "cascade", "since", "side", "stake")


def _one(item: int) -> slice:
    return slice(item, item + 1)


def _of_variants(name: str, documentation: str, item: int) -> Definition:
    return _Counter(name, documentation, _VARIANT, "versions", _one(item))


def _distribution(name: str, documentation: str, place: Histogram) -> Definition:
    return _Histogram(name, documentation, _VARIANT, "versions", place)


_REQUESTS: Sequence[Definition] = (
    _Counter(
        "requests",
        "Requests that have ended.",
        ("endpoint", "model", "code"),
        "requests",
        counters.DURATION.buckets,
    ),
    _Histogram(
        "request_duration_seconds",
        "Time from a request's headers to the end of its response.",
        ("endpoint", "model"),
        "requests",
        counters.DURATION,
        empty=False,
    ),
)
_BATCHES: Sequence[Definition] = (
    _distribution(
        "tokenize_duration_seconds", "Time to tokenize one request's texts.", counters.TOKENIZE
    ),
    _distribution(
        "queue_duration_seconds", "Time that one text waits for its batch to start.", counters.QUEUE
    ),
    _distribution(
        "engine_duration_seconds", "Time that the engine takes for one batch.", counters.ENGINE
    ),
    _distribution("batch_texts", "Texts in a batch.", counters.BATCH_TEXTS),
    _distribution("batch_tokens", "Tokens in a batch, padding included.", counters.BATCH_TOKENS),
    _of_variants(
        "padding_tokens", "Padding tokens that the engine has computed.", counters.PADDING
    ),
    _Gauge("queue_texts", "Texts in the queue.", _VARIANT),
    _Gauge("requests_in_flight", "Requests whose texts are queued or running."),
    _Gauge("ready", "1 if the server accepts new requests, else 0."),
    _Counter("rejected", "Valid requests that were refused.", ("reason",), "rejected", _one(0)),
    _Counter(
        "connections_refused", "Connections refused or cut.", ("reason",), "connections", _one(0)
    ),
    _Counter("log_lines_dropped", "Log lines that were not written.", (), "log_lines", _one(0)),
    _Counter("task_failures", "Background tasks that have failed.", (), "failures", _one(0)),
)
_LOADED: Sequence[Definition] = (
    _Gauge(
        "variant_info", "Always 1; the labels describe a loaded variant.", (*_VERSION, "precision")
    ),
    _Gauge(
        "engine_info", "Always 1; the labels name the engine of a variant.", (*_VARIANT, "engine")
    ),
    _Gauge("variant_bytes", "Size of the bundle.", _VARIANT),
)
_ANSWERS: Sequence[Definition] = (
    _of_variants("tokens", "Tokens of answered texts.", counters.ANSWERED_TOKENS),
    _of_variants("texts", "Texts answered.", counters.ANSWERED),
    _of_variants("truncated", "Answered texts that were truncated.", counters.TRUNCATED),
    _of_variants(
        "degraded",
        "Texts answered by this variant instead of a larger one.",
        counters.DEGRADED,
    ),
    _Split(
        "reused_texts",
        "Texts answered from the cache or by another request's run.",
        (*_VARIANT, "source"),
        "versions",
        {"cache": counters.CACHED, "flight": counters.SHARED},
    ),
    _Counter(
        "version_texts",
        "Texts answered, by version.",
        _VERSION,
        "versions",
        _one(counters.ANSWERED),
    ),
    _Counter(
        "shadow_texts",
        "Texts that a shadow has also classified.",
        _VERSION,
        "shadows",
        _one(counters.COMPARED),
    ),
    _Counter(
        "shadow_disagreements",
        "Texts to which the shadow gave different labels.",
        _VERSION,
        "shadows",
        _one(counters.DIFFERENT),
    ),
    _Gauge("refused_bundles", "Bundles in the registry that cannot be served.", _MODEL),
    _Gauge("registry_unreadable", "1 while the registry cannot be read, else 0."),
    _Gauge("altered_bundles", "Always 1; the labels name a version altered on disk.", _VERSION),
)
_CASCADES: Sequence[Definition] = (
    _Counter(
        "cascade_texts", "Texts answered by a cascade.", _MODEL, "cascades", _one(counters.CASCADED)
    ),
    _Counter(
        "escalated_texts",
        "Texts that a cascade escalated from this variant.",
        _VARIANT,
        "escalated",
        _one(0),
    ),
    _Gauge("expected_escalation_ratio", "Calibrated escalation rate.", _MODEL),
    _Gauge(
        "escalation_drifted", "1 if this server's own escalation rate has drifted, else 0.", _MODEL
    ),
    _Gauge("escalation_log_capital", "Log capital of bets on a drifted escalation rate.", _BETS),
    _Counter(
        "sampled_texts",
        "Texts of a cascade that were compared with its reference.",
        _MODEL,
        "cascades",
        _one(counters.SAMPLED),
    ),
    _Counter(
        "sampled_disagreements",
        "Sampled texts to which the reference gave different labels.",
        _MODEL,
        "cascades",
        _one(counters.DISAGREED),
    ),
    _Gauge("disagreement_lower_ratio", "Lower bound of the share of disagreements now.", _MODEL),
    _Gauge(
        "allowed_disagreement_ratio",
        "Calibrated upper bound of the share of disagreements.",
        _MODEL,
    ),
)
_PROCESSES: Sequence[Definition] = (
    _Histogram(
        "loop_lag_seconds",
        "By how much an event loop is late with what is due, ten times a second.",
        ("process",),
        "lags",
        counters.LAG,
    ),
)
DEFINITIONS = (*_REQUESTS, *_BATCHES, *_LOADED, *_ANSWERS, *_CASCADES, *_PROCESSES)
