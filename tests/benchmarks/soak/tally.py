"""What clients have sent and were answered, and whether the server has counted the same."""

import re
from collections import Counter
from dataclasses import dataclass, field, fields
from typing import NamedTuple

from tests.support.metric_values import samples

CLEAN = ("tone", "sentiment", "guest", "passages", "nli")
"""Families that no client leaves while it waits."""
BY_VERSION = ("sentiment", "guest")
"""Families whose every answer names its version."""
_SHOWN = 3
_MODEL, _VARIANT, _VERSION = range(3)
_of_versions = re.compile(
    r"^sizewise_(version_texts|shadow_texts)_total\{(.*?)\} (\S+)$", re.MULTILINE
).findall
PROBES = ("/health", "/health/live", "/health/ready")
"""Endpoints that are counted and not logged."""


@dataclass
class Tally:
    """Sums that add up over clients."""

    requests: Counter = field(default_factory=Counter)
    """By endpoint, model and status."""
    rejected: Counter = field(default_factory=Counter)
    """By reason."""
    sums: Counter = field(default_factory=Counter)
    """By name, model and, for `versions`, version."""
    least: Counter = field(default_factory=Counter)
    """Requests of a group, see Group, that the server must have counted."""
    most: Counter = field(default_factory=Counter)
    """Requests of a group that it may have counted."""
    wrong: Counter = field(default_factory=Counter)
    """By what has a fault."""
    faults: list[str] = field(default_factory=list)
    """Answers that are wrong, and requests without one."""

    def add(self, other):
        for each in fields(self):
            getattr(self, each.name).__iadd__(getattr(other, each.name))

    def fault(self, what, said):
        """Keep the first few of each sort."""
        self.wrong[what] += 1
        if self.wrong[what] <= _SHOWN:
            self.faults.append(f"{what}: {said}")


def _labels(given):
    return dict(re.findall(r'(\w+)="(.*?)"', given))


class Check(NamedTuple):
    """One row of the comparison."""

    name: str
    sent: str
    counted: str
    equal: bool


class Change:
    """By how much a metrics page's values have changed."""

    def __init__(self, before, after):
        old, self.after = samples(before), samples(after)
        self._change = {
            (name, labels): value - old.get((name, labels), 0)
            for (name, labels), value in self.after.items()
        }

    def by(self, name, *labels):
        """The sums of a metric by these labels."""
        found = Counter()
        for (its, given), value in self._change.items():
            if its == f"sizewise_{name}":
                values = dict(given)
                found[tuple(values[label] for label in labels)] += round(value)
        return Counter({key: value for key, value in found.items() if value})

    def now(self, name):
        """The sum of a metric's values."""
        return sum(value for (its, _), value in self.after.items() if its == f"sizewise_{name}")


class Versions:
    """The last counts of each version: a page has no series of those that went long ago."""

    def __init__(self):
        self.counts = {}

    def see(self, page):
        for name, labels, value in _of_versions(page):
            key = tuple(_labels(labels)[each] for each in ("model", "variant", "version"))
            self.counts[name, *key] = round(float(value))

    def by(self, name, *parts):
        found = Counter()
        for (its, *key), count in self.counts.items():
            if its == name:
                found[tuple(key[part] for part in parts)] += count
        return found


def compare(tally, groups, pages, versions, logged):
    """Every comparison of the pages before and after, `versions` and the `logged` requests."""
    change = Change(*pages)
    return [
        *_requests(tally, groups, change),
        *_texts(tally, change, versions),
        *_batches(change, versions),
        *_ended(change),
        _check("lines in the log", logged, _logged(change)),
    ]


def _check(name, sent, counted):
    return Check(name, f"{sent:,}", f"{counted:,}", sent == counted)


def _requests(tally, groups, change):
    counted = change.by("requests_total", "endpoint", "model", "code")
    extra = Counter()
    for key in counted.keys() | tally.requests.keys():
        extra[key] = counted[key] - tally.requests[key]
    unclear = {key: name for name, keys in groups.items() for key in keys}
    for status in sorted({key[2] for key in counted} | {key[2] for key in tally.requests}):
        keys = [key for key in extra if key[2] == status and key not in unclear]
        sent = sum(tally.requests[key] for key in keys)
        wrong = [f"{key}: {extra[key]:+d}" for key in keys if extra[key]]
        total = sum(counted[key] for key in keys)
        said = ", ".join([f"{total:,}", *wrong[:5]])
        yield Check(f"requests, status {status}", f"{sent:,}", said, not wrong)
    for name, keys in groups.items():
        found = [extra[key] for key in keys]
        least, most = tally.least[name], tally.most[name]
        right = min(found) >= 0 and least <= sum(found) <= most
        split = ", ".join(f"{key[2]}: {extra[key]:,}" for key in keys if extra[key])
        yield Check(f"clients that left, {name}", f"{least:,} to {most:,}", split or "0", right)
    reasons = change.by("rejected_total", "reason")
    for (reason,) in reasons.keys() | {(each,) for each in tally.rejected}:
        yield _check(f"rejected, {reason}", tally.rejected[reason], reasons[(reason,)])


def _texts(tally, change, versions):
    names = {"texts": "texts_total", "tokens": "tokens_total", "degraded": "degraded_total",
             "truncated": "truncated_total"}  # fmt: skip
    for name, metric in names.items():
        counted = change.by(metric, "model")
        for model in CLEAN:
            if counted[(model,)] or tally.sums[name, model]:
                yield _check(f"{name}, {model}", tally.sums[name, model], counted[(model,)])
    counted = versions.by("version_texts", _MODEL, _VERSION)
    sent = Counter(
        {
            key: n
            for (name, *rest), n in tally.sums.items()
            if name == "versions"
            for key in [tuple(rest)]
        }
    )
    wrong = [
        f"{key}: {counted[key] - sent[key]:+d}"
        for key in counted.keys() | sent.keys()
        if key[0] in BY_VERSION and counted[key] != sent[key]
    ]
    yield Check(
        "versions with texts", f"{len(sent):,}", ", ".join(wrong[:5]) or "as many", not wrong
    )


def _batches(change, versions):
    """What engines have run: of texts that were answered, and of those that a shadow compared."""
    ran = change.by("batch_texts_sum", "model", "variant")
    reused = change.by("reused_texts_total", "model", "variant")
    waited = change.by("queue_duration_seconds_count", "model", "variant")
    compared = versions.by("shadow_texts", _MODEL, _VARIANT)
    for key in sorted(ran.keys() | waited.keys()):
        if key[0] in CLEAN:
            wanted = waited[key] + compared[key] - reused[key]
            yield _check(f"texts in batches, {'/'.join(key)}", wanted, ran[key])


def _ended(change):
    for name in ("requests_in_flight", "queue_texts"):
        yield _check(f"{name} in the end", 0, round(change.now(name)))
    yield _check("log lines dropped", 0, round(change.now("log_lines_dropped_total")))


def _logged(change):
    counted = change.by("requests_total", "endpoint")
    return sum(count for (endpoint,), count in counted.items() if endpoint not in PROBES)
