"""Every Prometheus metric that the server publishes: name, meaning, labels, and what it reads."""

from collections.abc import Sequence

from serving.observability import counters
from serving.observability.counters import Histogram
from serving.observability.metric_kinds import Count, Definition, Distribution, Gauge, Split

_CALLER = ("caller",)
_MODEL = ("model",)
_VARIANT = (*_MODEL, "variant")
_VERSION = (*_VARIANT, "version")
_BETS = (*_MODEL, "cascade", "since", "side", "stake")


def _one(item: int) -> slice:
    return slice(item, item + 1)


def _of_variants(name: str, documentation: str, item: int) -> Definition:
    return Count(name, documentation, _VARIANT, "versions", _one(item))


def _distribution(name: str, documentation: str, place: Histogram) -> Definition:
    return Distribution(name, documentation, _VARIANT, "versions", place)


_REQUESTS: Sequence[Definition] = (
    Count(
        "requests",
        "Requests that have ended.",
        ("endpoint", "model", "code", "reason"),
        "requests",
        counters.DURATION.buckets,
    ),
    Distribution(
        "request_duration_seconds",
        "Time from a request's headers to the end of its response.",
        ("endpoint", "model"),
        "requests",
        counters.DURATION,
        empty=False,
    ),
    Split(
        "caller_requests",
        "Requests to models that have ended, by caller.",
        (*_CALLER, "outcome"),
        "callers",
        {
            "answered": counters.SERVED,
            "rate_limited": counters.LIMITED,
            "failed": counters.FAILED,
            "invalid": counters.INVALID,
            "left": counters.LEFT,
        },
    ),
    Count(
        "caller_texts",
        "Texts answered, by caller.",
        _CALLER,
        "callers",
        _one(counters.SERVED_TEXTS),
    ),
    Count(
        "caller_tokens",
        "Tokens of answered texts, by caller.",
        _CALLER,
        "callers",
        _one(counters.SERVED_TOKENS),
    ),
    Count(
        "callers_failures",
        "Scans that could not read the callers file, or found it invalid.",
        (),
        "callers_failures",
        _one(0),
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
    Gauge("queue_texts", "Texts in the queue.", _VARIANT),
    Gauge("requests_in_flight", "Requests whose texts are queued or running."),
    Gauge("ready", "1 if the server accepts new requests, else 0."),
    Count("rejected", "Valid requests that were refused.", ("reason",), "rejected", _one(0)),
    Count(
        "checked_requests",
        "Requests that were checked for a proxy, by what became of them and why.",
        ("outcome", "reason"),
        "checks",
        _one(0),
    ),
    Count(
        "connections_refused", "Connections refused or cut.", ("reason",), "connections", _one(0)
    ),
    Count("log_lines_dropped", "Log lines that were not written.", (), "log_lines", _one(0)),
    Count("task_failures", "Background tasks that have failed.", (), "failures", _one(0)),
)
_LOADED: Sequence[Definition] = (
    Gauge(
        "variant_info", "Always 1; the labels describe a loaded variant.", (*_VERSION, "precision")
    ),
    Gauge(
        "engine_info", "Always 1; the labels name the engine of a variant.", (*_VARIANT, "engine")
    ),
    Gauge("variant_bytes", "Size of the bundle.", _VARIANT),
)
_ANSWERS: Sequence[Definition] = (
    _of_variants("tokens", "Tokens of answered texts.", counters.ANSWERED_TOKENS),
    _of_variants("texts", "Texts answered.", counters.ANSWERED),
    _of_variants("truncated", "Answered texts that were truncated.", counters.TRUNCATED),
    _of_variants("windowed_texts", "Texts cut into windows.", counters.WINDOWED),
    _of_variants("windows", "Windows of texts that were classified.", counters.WINDOWS),
    _of_variants(
        "degraded",
        "Texts answered by this variant instead of a larger one.",
        counters.DEGRADED,
    ),
    Split(
        "reused_texts",
        "Texts answered from the cache or by another request's run.",
        (*_VARIANT, "source"),
        "versions",
        {"cache": counters.CACHED, "flight": counters.SHARED},
    ),
    Count(
        "version_texts",
        "Texts answered, by version.",
        _VERSION,
        "versions",
        _one(counters.ANSWERED),
    ),
    Count(
        "shadow_texts",
        "Texts that a shadow has also classified.",
        _VERSION,
        "shadows",
        _one(counters.COMPARED),
    ),
    Count(
        "shadow_disagreements",
        "Texts to which the shadow gave different labels.",
        _VERSION,
        "shadows",
        _one(counters.DIFFERENT),
    ),
    Gauge("refused_bundles", "Bundles and files in the registry that are refused.", _MODEL),
    Gauge("registry_unreadable", "1 while the registry cannot be read, else 0."),
    Gauge("altered_bundles", "Always 1; the labels name a version altered on disk.", _VERSION),
)
_FEEDBACK: Sequence[Definition] = (
    Split(
        "feedback",
        "Feedback on answers, by whether the answer was right; a correction counts again.",
        (*_VARIANT, "verdict"),
        "feedback",
        {"right": counters.RIGHT, "wrong": counters.WRONG},
    ),
    Count(
        "text_log_rows",
        "Texts and feedback for the text log, by what became of them.",
        ("outcome",),
        "text_log",
        _one(0),
    ),
)
_CASCADES: Sequence[Definition] = (
    Count(
        "cascade_texts", "Texts answered by a cascade.", _MODEL, "cascades", _one(counters.CASCADED)
    ),
    Count(
        "escalated_texts",
        "Texts that a cascade escalated from this variant.",
        _VARIANT,
        "escalated",
        _one(0),
    ),
    Gauge(
        "unproven_variants",
        "Variants that run otherwise than when the cascade's guarantee was shown.",
        _MODEL,
    ),
    Gauge("expected_escalation_ratio", "Calibrated escalation rate.", _MODEL),
    Gauge(
        "escalation_drifted", "1 if this server's own escalation rate has drifted, else 0.", _MODEL
    ),
    Gauge("escalation_log_capital", "Log capital of bets on a drifted escalation rate.", _BETS),
    Count(
        "sampled_texts",
        "Texts of a cascade that were compared with its reference.",
        _MODEL,
        "cascades",
        _one(counters.SAMPLED),
    ),
    Count(
        "sampled_disagreements",
        "Sampled texts to which the reference gave different labels.",
        _MODEL,
        "cascades",
        _one(counters.DISAGREED),
    ),
    Gauge("disagreement_lower_ratio", "Lower bound of the share of disagreements now.", _MODEL),
    Gauge(
        "allowed_disagreement_ratio",
        "Calibrated upper bound of the share of disagreements.",
        _MODEL,
    ),
)
_DECIDER = (*_MODEL, "decider")
_DECISIONS: Sequence[Definition] = (
    Count(
        "decided_texts",
        "Texts decided, by what answered: a variant, or the cascade.",
        _DECIDER,
        "decisions",
        _one(counters.DECIDED),
    ),
    Count("flagged_texts", "Texts flagged.", _DECIDER, "decisions", _one(counters.FLAGGED)),
    Gauge("expected_flagged_ratio", "Share of texts flagged at calibration.", _DECIDER),
    Gauge(
        "flagged_drifted",
        "1 if this server's own share of flagged texts drifted, else 0.",
        _DECIDER,
    ),
    Gauge(
        "flagged_log_capital",
        "Log capital of bets on a drifted share of flagged texts.",
        (*_DECIDER, "decisions", "since", "side", "stake"),
    ),
    Gauge(
        "undecided_variants",
        "Variants, and the cascade, without decisions in a model that has some.",
        _MODEL,
    ),
)
_PROCESSES: Sequence[Definition] = (
    Distribution(
        "loop_lag_seconds",
        "By how much an event loop is late with what is due, ten times a second.",
        ("process",),
        "lags",
        counters.LAG,
    ),
)
DEFINITIONS = (
    *_REQUESTS, *_BATCHES, *_LOADED, *_ANSWERS, *_FEEDBACK, *_CASCADES, *_DECISIONS, *_PROCESSES,
)  # fmt: skip
