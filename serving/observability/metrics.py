"""Every metric: name, labels and buckets, on a registry of its own for each app.

It does not know when something happens; it is told once, by app.py.
"""

from collections import Counter as Counts
from collections.abc import Iterable, Mapping
from typing import Any

from prometheus_client import (
    CONTENT_TYPE_LATEST,
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    generate_latest,
)

from serving.batching.batcher import BatchReport
from serving.bundles.bundle import Manifest, VariantKey
from serving.bundles.cascade import Cascade
from serving.observability.drift import Drift, lower_bound
from serving.variants.family import FamilyAnswer

# 0.25 ms to 10 s, each about 1.6 times the one before.
SECONDS = (
    0.00025, 0.0004, 0.00064, 0.001, 0.0016, 0.0025, 0.004, 0.0064, 0.01, 0.016, 0.025,
    0.04, 0.064, 0.1, 0.16, 0.25, 0.4, 0.64, 1.0, 1.6, 2.5, 4.0, 6.4, 10.0,
)  # fmt: skip
TEXTS = (1, 2, 4, 8, 16, 32, 64, 128, 256)
TOKENS = (8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096, 8192, 16384, 32768)
REJECTIONS = ("overloaded", "rate_limited", "deadline_missed", "not_ready", "draining")
# A counter that begins at its first error has no rate for that error.
STATUSES = ("200", "429", "500", "503", "504")
UNKNOWN = ""

_VARIANT = ("model", "variant")
_VERSION = (*_VARIANT, "version")
_REQUEST = ("endpoint", "model", "code")


class _Watched:
    """A cascade that is served, and what was seen of it."""

    def __init__(self, cascade: Cascade) -> None:
        self.cascade = cascade
        self.drift = Drift(cascade.escalation.low, cascade.escalation.high)
        self.sampled = 0
        self.disagreements = 0


class Metrics:
    """All `sizewise_` metrics of one app."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        where: dict[str, Any] = {"registry": self.registry, "namespace": "sizewise"}
        self.requests = Counter("requests", "Requests answered.", _REQUEST, **where)
        self.request_duration = Histogram(
            "request_duration_seconds", "From the request's headers to the end of the answer.",
            ("endpoint", "model"), buckets=SECONDS, **where,
        )  # fmt: skip
        stages: dict[str, Any] = {"labelnames": _VARIANT, "buckets": SECONDS, **where}
        self.tokenize_duration = Histogram(
            "tokenize_duration_seconds", "Tokenization of one request's texts.", **stages
        )
        self.queue_duration = Histogram(
            "queue_duration_seconds", "Wait of one text for its batch to start.", **stages
        )
        self.engine_duration = Histogram(
            "engine_duration_seconds", "One batch in the engine.", **stages
        )
        self.batch_texts = Histogram(
            "batch_texts", "Texts in a batch.", _VARIANT, buckets=TEXTS, **where
        )
        self.batch_tokens = Histogram(
            "batch_tokens", "Padded tokens in a batch.", _VARIANT, buckets=TOKENS, **where
        )
        self.padding_tokens = Counter(
            "padding_tokens", "Padding that the engine computed.", _VARIANT, **where
        )
        self.queue_texts = Gauge("queue_texts", "Texts that wait now.", _VARIANT, **where)
        self.requests_in_flight = Gauge(
            "requests_in_flight", "Requests whose texts wait or run now.", **where
        )
        self.ready = Gauge("ready", "1 while new requests are welcome, else 0.", **where)
        self.rejected = Counter(
            "rejected", "Requests refused though they were valid.", ("reason",), **where
        )
        self.variant_info = Gauge(
            "variant_info", "Always 1; names what is loaded.",
            (*_VARIANT, "version", "precision"), **where,
        )  # fmt: skip
        self.engine_info = Gauge(
            "engine_info", "Always 1; names what runs the variant.", (*_VARIANT, "engine"), **where
        )
        self.variant_bytes = Gauge("variant_bytes", "Bytes of the bundle.", _VARIANT, **where)
        self._add_answers(where)
        self._add_cascades(where)
        for reason in REJECTIONS:
            self.rejected.labels(reason)
        for status in ("429", "503"):  # refused before it was read which model is asked
            self.requests.labels("/v1/classify", UNKNOWN, status)

    def _add_answers(self, where: dict[str, Any]) -> None:
        self.tokens = Counter("tokens", "Tokens of answered texts.", _VARIANT, **where)
        self.texts = Counter("texts", "Texts answered.", _VARIANT, **where)
        self.truncated = Counter("truncated", "Answered texts that were cut.", _VARIANT, **where)
        self.degraded = Counter(
            "degraded",
            "Texts answered by this variant in place of a larger one.",
            _VARIANT,
            **where,
        )
        self.reused = Counter(
            "reused_texts", "Texts answered from the cache, or with another request's run.",
            (*_VARIANT, "source"), **where,
        )  # fmt: skip
        self.version_texts = Counter(
            "version_texts", "Texts answered, by version.", _VERSION, **where
        )
        self.shadow_texts = Counter(
            "shadow_texts", "Texts that a shadow has answered too.", _VERSION, **where
        )
        self.shadow_disagreements = Counter(
            "shadow_disagreements", "Texts of those with other labels.", _VERSION, **where
        )
        self.refused_bundles = Gauge(
            "refused_bundles", "Bundles in the registry that cannot be served now.", ("model",),
            **where,
        )  # fmt: skip

    def _add_cascades(self, where: dict[str, Any]) -> None:
        model = ("model",)
        self.cascade_texts = Counter(
            "cascade_texts", "Texts that a cascade answered.", model, **where
        )
        self.escalated_texts = Counter(
            "escalated_texts", "Texts of those that went on from this variant.", _VARIANT, **where
        )
        self.expected_escalation = Gauge(
            "expected_escalation_ratio", "How often a text goes on, by calibration.", model, **where
        )
        self.escalation_drifted = Gauge(
            "escalation_drifted", "1 where more or fewer texts go on than calibration saw, else 0.",
            model, **where,
        )  # fmt: skip
        self.sampled_texts = Counter(
            "sampled_texts", "Texts of a cascade that were sampled.", model, **where
        )
        self.sampled_disagreements = Counter(
            "sampled_disagreements", "Sampled texts that the reference answers otherwise.",
            model, **where,
        )  # fmt: skip
        self.disagreement_lower = Gauge(
            "disagreement_lower_ratio", "Lower 95 % bound of that share.", model, **where
        )
        self.allowed_disagreement = Gauge(
            "allowed_disagreement_ratio", "Its upper bound by calibration.", model, **where
        )
        self._watched: dict[str, _Watched] = {}

    def set_cascades(self, cascades: Mapping[str, Cascade]) -> None:
        """These are served; one that is new is watched from now on."""
        for family in self._watched.keys() - cascades.keys():
            del self._watched[family]
            for gauge in (
                self.expected_escalation, self.escalation_drifted, self.disagreement_lower,
                self.allowed_disagreement,
            ):  # fmt: skip
                gauge.remove(family)
        for family, cascade in cascades.items():
            if (watched := self._watched.get(family)) and watched.cascade == cascade:
                continue
            self._watched[family] = _Watched(cascade)
            for metric in (self.cascade_texts, self.sampled_texts, self.sampled_disagreements):
                metric.labels(family)
            for stage in cascade.stages[:-1]:
                self.escalated_texts.labels(family, stage.variant)
            self.expected_escalation.labels(family).set(cascade.escalations)
            self.escalation_drifted.labels(family).set(0)
            self.disagreement_lower.labels(family).set(0)
            self.allowed_disagreement.labels(family).set(cascade.allowed_disagreement)

    def add_variant(self, manifest: Manifest, engine: str) -> None:
        """Make a loaded variant's series exist from the start; `engine` runs it."""
        names = (manifest.family, manifest.variant)
        for metric in (
            self.tokenize_duration, self.queue_duration, self.engine_duration, self.batch_texts,
            self.batch_tokens, self.padding_tokens, self.tokens, self.texts, self.truncated,
            self.degraded, self.queue_texts,
        ):  # fmt: skip
            metric.labels(*names)
        for source in ("cache", "flight"):
            self.reused.labels(*names, source)
        self.variant_info.labels(*names, manifest.version, manifest.precision).set(1)
        self.engine_info.labels(*names, engine).set(1)
        self.variant_bytes.labels(*names).set(manifest.bytes)
        self.version_texts.labels(*names, manifest.version)
        for status in STATUSES:
            self.requests.labels("/v1/classify", manifest.family, status)

    def remove_version(self, manifest: Manifest) -> None:
        """It is loaded no more."""
        names = (manifest.family, manifest.variant, manifest.version)
        self.variant_info.remove(*names, manifest.precision)

    def set_refused(self, families: Mapping[str, int]) -> None:
        """How many bundles of each family cannot be served."""
        self.refused_bundles.clear()
        for family, bundles in families.items():
            self.refused_bundles.labels(family).set(bundles)

    def record_shadow(self, variant: VariantKey, texts: int, disagreements: int) -> None:
        """Texts that a shadow has answered, and how many of them otherwise."""
        self.shadow_texts.labels(*variant).inc(texts)
        self.shadow_disagreements.labels(*variant).inc(disagreements)

    def record_request(self, endpoint: str, model: str, status: int, seconds: float) -> None:
        """One answered request, whatever its outcome."""
        self.requests.labels(endpoint, model, str(status)).inc()
        self.request_duration.labels(endpoint, model).observe(seconds)

    def record_rejected(self, reason: str) -> None:
        """One valid request that was refused."""
        self.rejected.labels(reason).inc()

    def record_batch(self, report: BatchReport) -> None:
        """One batch that the engine has finished."""
        names = report.variant[:2]
        self.engine_duration.labels(*names).observe(report.engine_s)
        self.batch_texts.labels(*names).observe(report.texts)
        self.batch_tokens.labels(*names).observe(report.tokens + report.padding_tokens)
        self.padding_tokens.labels(*names).inc(report.padding_tokens)

    def record_reused(self, variant: VariantKey, cached: int, shared: int) -> None:
        """Texts of one request that no engine had to run for it."""
        self.reused.labels(*variant[:2], "cache").inc(cached)
        self.reused.labels(*variant[:2], "flight").inc(shared)

    def record_answer(self, answer: FamilyAnswer) -> None:
        """One request's texts, answered."""
        for each in answer.passes:
            names = (answer.family, each.variant)
            self.tokenize_duration.labels(*names).observe(each.tokenize_s)
            queue_duration = self.queue_duration.labels(*names)
            for text in each.answers:
                queue_duration.observe(text.queue_s)
            self.tokens.labels(*names).inc(each.tokens)
        given = Counts((a.variant, a.version, a.truncated, a.degraded) for a in answer.answers)
        for (variant, version, truncated, degraded), texts in given.items():
            names = (answer.family, variant)
            self.texts.labels(*names).inc(texts)
            self.version_texts.labels(*names, version).inc(texts)
            self.truncated.labels(*names).inc(texts * truncated)
            self.degraded.labels(*names).inc(texts * degraded)
        if answer.escalated is not None:
            self._record_cascade(answer.family, len(answer.answers), answer.escalated)

    def _record_cascade(self, family: str, texts: int, escalated: Mapping[str, int]) -> None:
        self.cascade_texts.labels(family).inc(texts)
        for variant, its_texts in escalated.items():
            self.escalated_texts.labels(family, variant).inc(its_texts)
        if watched := self._watched.get(family):
            watched.drift.add(texts, next(iter(escalated.values())))
            self.escalation_drifted.labels(family).set(watched.drift.drifted)

    def record_sample(self, family: str, texts: int, disagreements: int) -> None:
        """A cascade's texts that its reference has answered too, and how many otherwise."""
        self.sampled_texts.labels(family).inc(texts)
        self.sampled_disagreements.labels(family).inc(disagreements)
        if watched := self._watched.get(family):
            watched.sampled += texts
            watched.disagreements += disagreements
            bound = lower_bound(watched.disagreements, watched.sampled)
            self.disagreement_lower.labels(family).set(bound)

    def page(
        self, waiting: Iterable[tuple[VariantKey, int]], requests_in_flight: int, *, ready: bool
    ) -> tuple[bytes, str]:
        """The page for a scrape and its content type; `waiting` are the queues right now."""
        self.ready.set(ready)
        self.requests_in_flight.set(requests_in_flight)
        by_variant: Counts[tuple[str, str]] = Counts()
        for (model, variant, _), texts in waiting:
            by_variant[model, variant] += texts
        for names, texts in by_variant.items():
            self.queue_texts.labels(*names).set(texts)
        return generate_latest(self.registry), CONTENT_TYPE_LATEST
