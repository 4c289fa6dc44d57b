"""What came of a fault: figures of what was seen, and the promises that it is judged by."""

import json
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

LOST = {"closed", "reset", "timeout"}
"""Requests that were sent and have no complete answer."""
SLOW_S = 1.0
USUAL_EVENTS = {"request", "draining", "ready", "serving", "loaded", "unloaded"}
UVICORN = ("Started ", "Waiting for ", "Application ", "Shutting down", "Finished ", "Uvicorn ")


class Asked(NamedTuple):
    began_s: float
    ended_s: float
    outcome: str


class Probed(NamedTuple):
    began_s: float
    ended_s: float
    outcome: str
    why: str


@dataclass
class Outcome:
    requests: list[Asked]
    """Those that were waiting at the fault, or came after it, up to the end of the server."""
    live: list[Probed]
    ready: list[Probed]
    live_gap_ms: float
    recovered_s: float | None
    """None: it ended."""
    status: int | None
    """The exit status, and how many seconds after the fault or after SIGTERM it ended."""
    end_s: float
    events: list[str]
    moved: list[str]
    alerts: list[str]
    timed: bool
    """Whether bounds on time count."""

    @property
    def kinds(self):
        return Counter(each.outcome for each in self.requests)

    @property
    def lost(self):
        return sum(count for kind, count in self.kinds.items() if kind in LOST)


class Check(NamedTuple):
    says: str
    judge: Callable[[Outcome], bool]


def answered(*others):
    """Every request has its answer: 200 or one of these statuses."""
    allowed = {"200", *map(str, others)}
    says = f"every request is answered, with {' or '.join(sorted(allowed))}"
    return Check(says, lambda it: bool(it.requests) and set(it.kinds) <= allowed)


NOTHING_LOST = Check("no accepted request is lost", lambda it: it.lost == 0)


def lost_at_most(count, why):
    return Check(f"at most {count} requests are lost, {why}", lambda it: it.lost <= count)


def recovers(seconds):
    return Check(
        f"recovers within {seconds:g} s",
        lambda it: not it.timed or (it.recovered_s is not None and it.recovered_s <= seconds),
    )


def ends(status, seconds, why=""):
    return Check(
        f"ends with {status} within {seconds:g} s{why}",
        lambda it: it.status == status and (not it.timed or it.end_s <= seconds),
    )


def ready_says(outcome):
    return Check(
        f"unready meanwhile ({outcome})",
        lambda it: any(each.outcome == str(outcome) for each in it.ready),
    )


STAYS_READY = Check("stays ready", lambda it: {each.outcome for each in it.ready} <= {"200"})
STAYS_LIVE = Check("stays live", lambda it: {each.outcome for each in it.live} <= {"200"})
NOT_LIVE = Check("liveness fails", lambda it: any(each.outcome != "200" for each in it.live))


def logs(event):
    return Check(f"logs `{event}`", lambda it: event in it.events)


def alerts(name):
    return Check(f"{name} fires if it lasts", lambda it: name in it.alerts)


def moves(metric):
    return Check(f"`{metric}` moves", lambda it: any(metric in each for each in it.moved))


def longest_gap_ms(live, late, from_s, until_s):
    """The longest time between answers of a probe, less what the watcher itself was late by."""
    ends_s = [each.ended_s for each in live if each.outcome == "200"]
    ends_s = [from_s, *sorted(at for at in ends_s if from_s < at < until_s), until_s]
    longest = 0.0
    for before_s, after_s in pairwise(ends_s):
        gap_s = after_s - before_s
        if gap_s > longest:
            own_s = sum(
                max(0.0, min(after_s, late_end) - max(before_s, late_begin))
                for late_begin, late_end in late
            )
            longest = max(longest, gap_s - own_s)
    return 1e3 * longest


def recovery_s(requests, from_s):
    """Seconds from the fault's end until no request failed or was slow any more."""
    bad = [
        each.ended_s
        for each in requests
        if each.outcome != "200" or each.ended_s - each.began_s > SLOW_S
    ]
    return max(0.0, max(bad, default=from_s) - from_s)


def events_of(log, usual=USUAL_EVENTS):
    """The events of a log that say something of a fault, once each, in order."""
    found = []
    for line in log.splitlines():
        try:
            event = json.loads(line)["event"]
        except (ValueError, KeyError, TypeError):
            continue
        if event not in usual and event not in found and not event.startswith(UVICORN):
            found.append(event)
    return found
