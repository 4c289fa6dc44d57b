"""The metrics page: counters and gauges of the engine process, rendered when they are scraped."""

import hashlib
import time
from collections import Counter as Counts
from collections import defaultdict, deque
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

from serving.bundles.bundle import VERSION_HEX_DIGITS, Manifest, VariantKey
from serving.bundles.cascade import Cascade
from serving.observability.counters import (
    CASCADED,
    DISAGREED,
    ESCALATED,
    SAMPLED,
    Counters,
)
from serving.observability.definitions import DEFINITIONS
from serving.observability.drift import Drift, Excess
from serving.observability.metric_kinds import Labels
from serving.observability.recorder import RefusalReason
from serving.observability.table import Sums
from serving.observability.top_callers import TopCallers

# Status and reason of every failure: a counter that starts at its first one has no rate for it.
FAILED = (
    (429, "overloaded"), (429, "rate_limited"), (500, "engine_failed"), (500, "internal_error"),
    (503, "draining"), (503, "not_ready"), (503, "starting"), (504, "deadline_missed"),
)  # fmt: skip
REJECTIONS = tuple(reason for status, reason in FAILED if status != 500)
UNKNOWN = ""
# Versions of a variant that have series of their own after they were unloaded; others are one sum.
PAST_VERSIONS = 8


class _Watched:
    """A cascade that is served, and what its texts tell since then.

    `cascade_hash` is the same on all servers, `since` of this watch alone: what it tells starts at
    nothing, so it may not continue the series of the one before.
    """

    def __init__(self, cascade: Cascade) -> None:
        self.cascade = cascade
        content = cascade.model_dump_json().encode()
        self.cascade_hash = hashlib.sha256(content).hexdigest()[:VERSION_HEX_DIGITS]
        self.since = f"{time.time():.3f}"
        self.drift = Drift(cascade.escalation.low, cascade.escalation.high)
        self.excess = Excess(cascade.allowed_disagreement)


class Metrics(Counters, Collector):
    """All `sizewise_` metrics of one engine process; see counters.py for threads."""

    def __init__(self) -> None:
        super().__init__()
        self._gauges: defaultdict[str, dict[Labels, float]] = defaultdict(dict)
        self._watched: dict[str, _Watched] = {}
        self._loaded: dict[VariantKey, tuple[str, int]] = {}
        """The engine and the bytes of each loaded version."""
        self._top_callers = TopCallers()
        self._past: defaultdict[Labels, deque[str]] = defaultdict(deque)
        """Versions of each variant that were unloaded, the oldest first."""
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        self.registry.register(self)
        for reason in REJECTIONS:
            self.rejected[(reason,)]
        for refused in get_args(RefusalReason):
            self.connections[(refused,)]
        self.log_lines[()]
        self.failures[()]
        self._gauges["registry_unreadable"][()] = 0
        self.callers_failures[()]
        for status, reason in FAILED:
            if status in {429, 503}:  # refused before the model is known
                self.requests["/v1/classify", UNKNOWN, status, reason]

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
            self.cascades[(family,)]
            self._watched[family] = _Watched(cascade)
            for stage in cascade.stages[:-1]:
                self.escalated[family, stage.variant]
            gauges["expected_escalation_ratio"][(family,)] = cascade.escalations
            gauges["allowed_disagreement_ratio"][(family,)] = cascade.allowed_disagreement

    def add_variant(self, manifest: Manifest, engine: str) -> None:
        """Create the series of a loaded variant, which `engine` runs."""
        names = (manifest.family, manifest.variant)
        self.versions[(*names, manifest.version)]
        for status, reason in ((200, ""), *FAILED):
            self.requests["/v1/classify", manifest.family, status, reason]
        if manifest.version in self._past[names]:
            self._past[names].remove(manifest.version)
        self._loaded[*names, manifest.version] = (engine, manifest.bytes)
        self._gauges["variant_info"][*names, manifest.version, manifest.precision] = 1
        self._set_gauges(names)

    def remove_version(self, manifest: Manifest) -> None:
        """Remove a version that is no longer loaded; add the oldest ones of these up."""
        names = (manifest.family, manifest.variant)
        self._loaded.pop((*names, manifest.version), None)
        self._gauges["variant_info"].pop((*names, manifest.version, manifest.precision), None)
        self._set_gauges(names)
        past = self._past[names]
        past.append(manifest.version)
        if len(past) > PAST_VERSIONS:
            oldest = (*names, past.popleft())
            self.versions.merge(oldest, names)
            self.shadows.merge(oldest, names)

    def _set_gauges(self, names: Labels) -> None:
        """Set what the page says of a variant by its loaded versions, the newest last."""
        loaded = [its for key, its in self._loaded.items() if key[:2] == names]
        engines = self._gauges["engine_info"]
        for labels in [labels for labels in engines if labels[:2] == names]:
            del engines[labels]
        engines.update(dict.fromkeys([(*names, engine) for engine, _ in loaded], 1))
        self._gauges["variant_bytes"].pop(names, None)
        if loaded:
            self._gauges["variant_bytes"][names] = loaded[-1][1]

    def set_refused(self, families: Mapping[str, int]) -> None:
        """Set the number of bundles of each family that cannot be served."""
        self._gauges["refused_bundles"] = {
            (family,): bundles for family, bundles in families.items()
        }

    def set_unreadable(self, unreadable: bool) -> None:
        """Set whether the registries cannot be read."""
        self._gauges["registry_unreadable"][()] = unreadable

    def set_unproven(self, families: Mapping[str, int]) -> None:
        """Set how many variants of each cascade run otherwise than when its guarantee was shown."""
        self._gauges["unproven_variants"] = {
            (family,): variants for family, variants in families.items()
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
            if row[CASCADED]:
                self.watch(str(family), row[CASCADED], row[ESCALATED])
            if row[SAMPLED]:
                self.watch_sample(str(family), row[SAMPLED], row[DISAGREED])

    def watch(self, family: str, texts: int, hits: int) -> None:
        """Watch how many texts a cascade's first stage escalates; the texts are one block."""
        if watched := self._watched.get(family):
            watched.drift.add(texts, hits)

    def watch_sample(self, family: str, texts: int, disagreements: int) -> None:
        """Watch how many sampled texts the reference labels otherwise; they are one block."""
        if watched := self._watched.get(family):
            watched.excess.add(texts, disagreements)

    def collect(self) -> Iterator[Metric]:
        """Make the metric families of a scrape."""
        capital = self._gauges["escalation_log_capital"] = {}
        for family, watched in self._watched.items():
            self._gauges["escalation_drifted"][(family,)] = watched.drift.drifted
            for side, stake, wealth in watched.drift.wealth():
                labels = (family, watched.cascade_hash, watched.since, side, stake)
                capital[labels] = wealth
            self._gauges["disagreement_lower_ratio"][(family,)] = watched.excess.least
        for definition in DEFINITIONS:
            yield definition.family(self.tables, self._gauges)

    def page(
        self, queued: Iterable[tuple[VariantKey, int]], requests_in_flight: int, *, ready: bool
    ) -> tuple[bytes, str]:
        """Render the page of a scrape, and its content type; `queued` are the queues' lengths."""
        self.count_own()
        self._top_callers.fold(self.callers)
        self._gauges["ready"][()] = ready
        self._gauges["requests_in_flight"][()] = requests_in_flight
        by_variant: Counts[Labels] = Counts()
        for (model, variant, _), texts in queued:
            by_variant[model, variant] += texts
        self._gauges["queue_texts"] = dict(by_variant)
        return generate_latest(self.registry), CONTENT_TYPE_LATEST
