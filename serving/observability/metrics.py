"""The metrics page: counters and gauges of the engine process, rendered when they are scraped."""

from collections import Counter as Counts
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from typing import get_args

from prometheus_client import (
    CONTENT_TYPE_LATEST,
    CollectorRegistry,
    ProcessCollector,
    generate_latest,
)
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from serving.bundles.bundle import Manifest, VariantKey
from serving.bundles.cascade import Cascade
from serving.observability.counters import (
    CASCADED,
    DISAGREED,
    ESCALATED,
    SAMPLED,
    Counters,
    Sums,
)
from serving.observability.definitions import DEFINITIONS, Labels
from serving.observability.drift import Drift, lower_bound
from serving.observability.recorder import RefusalReason

REJECTIONS = ("overloaded", "rate_limited", "deadline_missed", "not_ready", "draining")
# A counter that starts at its first error has no rate for that error.
STATUSES = (200, 429, 500, 503, 504)
UNKNOWN = ""


class _Watched:
    """A cascade that is served, and what was counted before it was."""

    def __init__(self, cascade: Cascade, sampled: int, disagreed: int) -> None:
        self.cascade = cascade
        self.drift = Drift(cascade.escalation.low, cascade.escalation.high)
        self.sampled_before = sampled
        self.disagreed_before = disagreed


class Metrics(Counters, Collector):
    """All `sizewise_` metrics of one engine process; see counters.py for threads."""

    def __init__(self) -> None:
        super().__init__()
        self._gauges: defaultdict[str, dict[Labels, float]] = defaultdict(dict)
        self._watched: dict[str, _Watched] = {}
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        self.registry.register(self)
        for reason in REJECTIONS:
            self.rejected[(reason,)]
        for refused in get_args(RefusalReason):
            self.connections[(refused,)]
        self.log_lines[()]
        for status in (429, 503):  # refused before the model is known
            self.requests["/v1/classify", UNKNOWN, status]

    def set_cascades(self, cascades: Mapping[str, Cascade]) -> None:
        """Set the cascades that are served, and start to watch those that are new."""
        gauges = self._gauges
        for family in self._watched.keys() - cascades.keys():
            del self._watched[family]
            for gauge in (
                "expected_escalation_ratio", "escalation_drifted", "disagreement_lower_ratio",
                "allowed_disagreement_ratio",
            ):  # fmt: skip
                gauges[gauge].pop((family,), None)
        for family, cascade in cascades.items():
            if (watched := self._watched.get(family)) and watched.cascade == cascade:
                continue
            row = self.cascades[(family,)]
            self._watched[family] = _Watched(cascade, row[SAMPLED], row[DISAGREED])
            for stage in cascade.stages[:-1]:
                self.escalated[family, stage.variant]
            gauges["expected_escalation_ratio"][(family,)] = cascade.escalations
            gauges["allowed_disagreement_ratio"][(family,)] = cascade.allowed_disagreement

    def add_variant(self, manifest: Manifest, engine: str) -> None:
        """Create the series of a loaded variant, which `engine` runs."""
        names = (manifest.family, manifest.variant)
        self.versions[(*names, manifest.version)]
        for status in STATUSES:
            self.requests["/v1/classify", manifest.family, status]
        gauges = self._gauges
        gauges["queue_texts"].setdefault(names, 0)
        gauges["variant_info"][*names, manifest.version, manifest.precision] = 1
        gauges["engine_info"][*names, engine] = 1
        gauges["variant_bytes"][names] = manifest.bytes

    def remove_version(self, manifest: Manifest) -> None:
        """Remove a version that is no longer loaded."""
        names = (manifest.family, manifest.variant, manifest.version)
        self._gauges["variant_info"].pop((*names, manifest.precision), None)

    def set_refused(self, families: Mapping[str, int]) -> None:
        """Set the number of bundles of each family that cannot be served."""
        self._gauges["refused_bundles"] = {
            (family,): bundles for family, bundles in families.items()
        }

    def set_altered(self, manifests: Iterable[Manifest]) -> None:
        """Set the running versions whose files have changed on disk."""
        self._gauges["altered_bundles"] = {
            (each.family, each.variant, each.version): 1 for each in manifests
        }

    def add(self, sums: Sums) -> None:
        """Count what an HTTP process has counted; a cascade is watched by these sums."""
        super().add(sums)
        for (family, *_), row in sums.get("cascades", {}).items():
            self.watch(str(family), row[CASCADED], row[ESCALATED])

    def watch(self, family: str, texts: int, hits: int) -> None:
        """Watch how many texts a cascade's first stage escalates."""
        if watched := self._watched.get(family):
            watched.drift.add(texts, hits)

    def collect(self) -> Iterator[Metric]:
        """Make the metric families of a scrape."""
        for family, watched in self._watched.items():
            row = self.cascades[(family,)]
            sampled = row[SAMPLED] - watched.sampled_before
            disagreed = row[DISAGREED] - watched.disagreed_before
            self._gauges["escalation_drifted"][(family,)] = watched.drift.drifted
            self._gauges["disagreement_lower_ratio"][(family,)] = lower_bound(disagreed, sampled)
        for definition in DEFINITIONS:
            yield definition.family(self.tables, self._gauges)

    def page(
        self, queued: Iterable[tuple[VariantKey, int]], requests_in_flight: int, *, ready: bool
    ) -> tuple[bytes, str]:
        """Render the page of a scrape, and its content type; `queued` are the queues' lengths."""
        self.count_dropped_lines()
        self._gauges["ready"][()] = ready
        self._gauges["requests_in_flight"][()] = requests_in_flight
        by_variant: Counts[Labels] = Counts()
        for (model, variant, _), texts in queued:
            by_variant[model, variant] += texts
        self._gauges["queue_texts"].update(by_variant)
        return generate_latest(self.registry), CONTENT_TYPE_LATEST
