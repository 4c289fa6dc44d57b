"""The kinds of metrics: what each reads of the counters and gauges when it is scraped.

Labels are the first parts of a row's key; rows that agree in these are added up.
"""

import math
from collections.abc import Iterator, Mapping
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

from serving.observability.counters import Histogram
from serving.observability.table import Key, Row, Table

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
class Gauge:
    """A value that is set, for each combination of its labels."""

    name: str
    documentation: str
    labels: Labels = ()

    def family(self, _tables: Mapping[str, Table], gauges: Gauges) -> Metric:
        """See Definition."""
        family = GaugeMetricFamily(_full(self.name), self.documentation, labels=self.labels)
        for labels, value in gauges.get(self.name, {}).items():
            family.add_metric(labels, _number(value))
        return family


@dataclass
class Count:
    """A counter that adds up some items of a table's rows."""

    name: str
    documentation: str
    labels: Labels
    table: str
    items: slice

    def family(self, tables: Mapping[str, Table], _gauges: Gauges) -> Metric:
        """See Definition."""
        family = CounterMetricFamily(_full(self.name), self.documentation, labels=self.labels)
        for labels, row, created in _series(tables[self.table], len(self.labels)):
            family.add_metric(labels, sum(row[self.items]), created)
        return family


@dataclass
class Split:
    """A counter of several items of a table's rows, which its last label tells apart."""

    name: str
    documentation: str
    labels: Labels
    table: str
    items: Mapping[str, int]

    def family(self, tables: Mapping[str, Table], _gauges: Gauges) -> Metric:
        """See Definition."""
        family = CounterMetricFamily(_full(self.name), self.documentation, labels=self.labels)
        for labels, row, created in _series(tables[self.table], len(self.labels) - 1):
            for last, item in self.items.items():
                family.add_metric([*labels, last], row[item], created)
        return family


@dataclass
class Distribution:
    """A histogram that adds up those of a table's rows; one without observations if `empty`."""

    name: str
    documentation: str
    labels: Labels
    table: str
    place: Histogram
    empty: bool = True

    def family(self, tables: Mapping[str, Table], _gauges: Gauges) -> Metric:
        """See Definition."""
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


def _number(value: float) -> float:
    """Return a value as the page can state it: one that it could not would cost the whole page."""
    try:
        return float(value)
    except OverflowError:
        return math.inf if value > 0 else -math.inf


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
