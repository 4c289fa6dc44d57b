"""Every Prometheus metric: name, labels and buckets, on a registry of its own."""

from collections import Counter as Counts
from collections.abc import Callable, Iterable, Mapping
from functools import partial
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
from serving.variants.answers import FamilyAnswer

# 0.25 ms to 10 s, about x1.6 apart.
SECONDS = (
    0.00025, 0.0004, 0.00064, 0.001, 0.0016, 0.0025, 0.004, 0.0064, 0.01, 0.016, 0.025,
    0.04, 0.064, 0.1, 0.16, 0.25, 0.4, 0.64, 1.0, 1.6, 2.5, 4.0, 6.4, 10.0,
)  # fmt: skip
TEXTS = (1, 2, 4, 8, 16, 32, 64, 128, 256)
TOKENS = (8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096, 8192, 16384, 32768)
REJECTIONS = ("overloaded", "rate_limited", "deadline_missed", "not_ready", "draining")
# A counter that starts at its first error has no rate for that error.
STATUSES = ("200", "429", "500", "503", "504")
UNKNOWN = ""

_VARIANT = ("model", "variant")
_VERSION = (*_VARIANT, "version")
_REQUEST = ("endpoint", "model", "code")

MakeCounter = Callable[..., Counter]
MakeGauge = Callable[..., Gauge]


class _Watched:
    """A cascade that is served, and its observed statistics."""

    def __init__(self, cascade: Cascade) -> None:
        self.cascade = cascade
        self.drift = Drift(cascade.escalation.low, cascade.escalation.high)
        self.sampled = 0
        self.disagreements = 0


class Metrics:
    """All `sizewise_` metrics of one engine process."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        where: dict[str, Any] = {"registry": self.registry, "namespace": "sizewise"}
        counter: MakeCounter = partial(Counter, **where)
        gauge: MakeGauge = partial(Gauge, **where)
        histogram: Callable[..., Histogram] = partial(Histogram, buckets=SECONDS, **where)
        self.requests = counter("requests", "Requests that have ended.", _REQUEST)
        self.request_duration = histogram(
            "request_duration_seconds",
            "Time from a request's headers to the end of its response.",
            ("endpoint", "model"),
        )
        self.tokenize_duration = histogram(
            "tokenize_duration_seconds", "Time to tokenize one request's texts.", _VARIANT
        )
        self.queue_duration = histogram(
            "queue_duration_seconds", "Time that one text waits for its batch to start.", _VARIANT
        )
        self.engine_duration = histogram(
            "engine_duration_seconds", "Time that the engine takes for one batch.", _VARIANT
        )
        self.batch_texts = histogram("batch_texts", "Texts in a batch.", _VARIANT, buckets=TEXTS)
        self.batch_tokens = histogram(
            "batch_tokens", "Tokens in a batch, padding included.", _VARIANT, buckets=TOKENS
        )
        self.padding_tokens = counter(
            "padding_tokens", "Padding tokens that the engine has computed.", _VARIANT
        )
        self.queue_texts = gauge("queue_texts", "Texts in the queue.", _VARIANT)
        self.requests_in_flight = gauge(
            "requests_in_flight", "Requests whose texts are queued or running."
        )
        self.ready = gauge("ready", "1 if the server accepts new requests, else 0.")
        self.rejected = counter("rejected", "Valid requests that were refused.", ("reason",))
        self.variant_info = gauge(
            "variant_info",
            "Always 1; the labels describe a loaded variant.",
            (*_VARIANT, "version", "precision"),
        )
        self.engine_info = gauge(
            "engine_info",
            "Always 1; the labels name the engine of a variant.",
            (*_VARIANT, "engine"),
        )
        self.variant_bytes = gauge("variant_bytes", "Size of the bundle.", _VARIANT)
        self._add_answers(counter, gauge)
        self._add_cascades(counter, gauge)
        for reason in REJECTIONS:
            self.rejected.labels(reason)
        for status in ("429", "503"):  # refused before the model is known
            self.requests.labels("/v1/classify", UNKNOWN, status)

    def _add_answers(self, counter: MakeCounter, gauge: MakeGauge) -> None:
        self.tokens = counter("tokens", "Tokens of answered texts.", _VARIANT)
        self.texts = counter("texts", "Texts answered.", _VARIANT)
        self.truncated = counter("truncated", "Answered texts that were truncated.", _VARIANT)
        self.degraded = counter(
            "degraded", "Texts answered by this variant instead of a larger one.", _VARIANT
        )
        self.reused = counter(
            "reused_texts",
            "Texts answered from the cache or by another request's run.",
            (*_VARIANT, "source"),
        )
        self.version_texts = counter("version_texts", "Texts answered, by version.", _VERSION)
        self.shadow_texts = counter(
            "shadow_texts", "Texts that a shadow has also classified.", _VERSION
        )
        self.shadow_disagreements = counter(
            "shadow_disagreements", "Texts to which the shadow gave different labels.", _VERSION
        )
        self.refused_bundles = gauge(
            "refused_bundles", "Bundles in the registry that cannot be served.", ("model",)
        )

    def _add_cascades(self, counter: MakeCounter, gauge: MakeGauge) -> None:
        model = ("model",)
        self.cascade_texts = counter("cascade_texts", "Texts answered by a cascade.", model)
        self.escalated_texts = counter(
            "escalated_texts", "Texts that a cascade escalated from this variant.", _VARIANT
        )
        self.expected_escalation = gauge(
            "expected_escalation_ratio", "Calibrated escalation rate.", model
        )
        self.escalation_drifted = gauge(
            "escalation_drifted",
            "1 if the escalation rate has drifted from its calibrated value, else 0.",
            model,
        )
        self.sampled_texts = counter(
            "sampled_texts", "Texts of a cascade that were compared with its reference.", model
        )
        self.sampled_disagreements = counter(
            "sampled_disagreements",
            "Sampled texts to which the reference gave different labels.",
            model,
        )
        self.disagreement_lower = gauge(
            "disagreement_lower_ratio", "Lower 95 % bound of the share of disagreements.", model
        )
        self.allowed_disagreement = gauge(
            "allowed_disagreement_ratio",
            "Calibrated upper bound of the share of disagreements.",
            model,
        )
        self._watched: dict[str, _Watched] = {}

    def set_cascades(self, cascades: Mapping[str, Cascade]) -> None:
        """Set the cascades that are served, and start to watch those that are new."""
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
        """Create the series of a loaded variant, which `engine` runs."""
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
        """Remove a version that is no longer loaded."""
        names = (manifest.family, manifest.variant, manifest.version)
        self.variant_info.remove(*names, manifest.precision)

    def set_refused(self, families: Mapping[str, int]) -> None:
        """Set the number of bundles of each family that cannot be served."""
        self.refused_bundles.clear()
        for family, bundles in families.items():
            self.refused_bundles.labels(family).set(bundles)

    def record_shadow(self, variant: VariantKey, texts: int, disagreements: int) -> None:
        """Count texts that a shadow has classified, and how many of them got other labels."""
        self.shadow_texts.labels(*variant).inc(texts)
        self.shadow_disagreements.labels(*variant).inc(disagreements)

    def record_request(self, endpoint: str, model: str, status: int, seconds: float) -> None:
        """Count a request that has ended, whatever its outcome."""
        self.requests.labels(endpoint, model, str(status)).inc()
        self.request_duration.labels(endpoint, model).observe(seconds)

    def record_rejected(self, reason: str) -> None:
        """Count a valid request that was refused."""
        self.rejected.labels(reason).inc()

    def record_batch(self, report: BatchReport) -> None:
        """Count a batch that the engine has finished."""
        names = report.variant[:2]
        self.engine_duration.labels(*names).observe(report.engine_s)
        self.batch_texts.labels(*names).observe(report.texts)
        self.batch_tokens.labels(*names).observe(report.tokens + report.padding_tokens)
        self.padding_tokens.labels(*names).inc(report.padding_tokens)

    def record_reused(self, variant: VariantKey, cached: int, shared: int) -> None:
        """Count texts of one request that were cached or ran for another request."""
        self.reused.labels(*variant[:2], "cache").inc(cached)
        self.reused.labels(*variant[:2], "flight").inc(shared)

    def record_answer(self, answer: FamilyAnswer) -> None:
        """Count the answered texts of one request."""
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
        """Count sampled texts of a cascade, and how many the reference labels otherwise."""
        self.sampled_texts.labels(family).inc(texts)
        self.sampled_disagreements.labels(family).inc(disagreements)
        if watched := self._watched.get(family):
            watched.sampled += texts
            watched.disagreements += disagreements
            bound = lower_bound(watched.disagreements, watched.sampled)
            self.disagreement_lower.labels(family).set(bound)

    def page(
        self, queued: Iterable[tuple[VariantKey, int]], requests_in_flight: int, *, ready: bool
    ) -> tuple[bytes, str]:
        """Render the page of a scrape, and its content type; `queued` are the queues' lengths."""
        self.ready.set(ready)
        self.requests_in_flight.set(requests_in_flight)
        by_variant: Counts[tuple[str, str]] = Counts()
        for (model, variant, _), texts in queued:
            by_variant[model, variant] += texts
        for names, texts in by_variant.items():
            self.queue_texts.labels(*names).set(texts)
        return generate_latest(self.registry), CONTENT_TYPE_LATEST
