"""Reports of one server measured in several sessions, in each of which the machine is as fast as
it is that day: the server is an M/M/1 queue."""

import math

import numpy as np

from tests.support.reports import estimate

CAPACITY_RPS = 500.0
SHARES = (0.2, 0.4, 0.6, 0.75, 0.9)
_QUANTILES = {"p50_ms": math.log(2.0), "p99_ms": math.log(100.0)}


def _load(kind, rate_rps, rounds):
    return {
        "kind": kind, "arrivals": "poisson", "rate_rps": 0.0 if kind == "closed" else rate_rps,
        "rounds": rounds, "offered_rps": estimate(rate_rps, 0.0),
        "achieved_rps": estimate(rate_rps),
        "sustained": np.mean([each["achieved_rps"] for each in rounds]) >= 0.95 * rate_rps,
    }  # fmt: skip


def variant(random, name, speeds, *, rates_rps=None, noise=0.02):
    """A variant measured once per entry of `speeds`: how fast the machine was then.

    Rates are shares of the first round's throughput, unless given.
    """
    closed = [
        {
            "round": number,
            "refusals": [],
            "achieved_rps": CAPACITY_RPS * speed * random.lognormal(0.0, noise / 2.0),
        }
        for number, speed in enumerate(speeds)
    ]
    if rates_rps is None:
        rates_rps = [share * closed[0]["achieved_rps"] for share in SHARES]
    loads = {"closed": _load("closed", closed[0]["achieved_rps"], closed)}
    for share, rate_rps in zip(SHARES, rates_rps, strict=True):
        rounds = []
        for number, speed in enumerate(speeds):
            spare_rps = max(CAPACITY_RPS * speed - rate_rps, 0.02 * CAPACITY_RPS)
            achieved_rps = min(rate_rps, CAPACITY_RPS * speed)
            own = {"round": number, "refusals": [], "achieved_rps": achieved_rps}
            for field, logarithm in _QUANTILES.items():
                own[field] = 1e3 * logarithm / spare_rps * random.lognormal(0.0, noise)
            rounds.append(own)
        loads[f"open-{share:.0%}"] = _load("open", rate_rps, rounds)
    found = {"model": "tone", "variant": name, "accuracy": estimate(0.86, 0.01), "loads": loads}
    return found, rates_rps


def report(variants, alternation=None):
    return {
        "machine": {"cpu": "one", "cores": 2},
        "scenario": {"measured_s": 6.0},
        "alternation": alternation,
        "variants": variants,
    }


def separate(random, session_noise, *, names=("small",), rounds=5, slower=1.0, same_rates=True):
    """Two reports, each of a session of its own; the first variant becomes `slower`."""
    first_speed, second_speed = random.lognormal(0.0, session_noise, 2)
    firsts, seconds = [], []
    for name in names:
        first, rates_rps = variant(random, name, [first_speed] * rounds)
        speeds = [second_speed / (slower if name == names[0] else 1.0)] * rounds
        second, _ = variant(random, name, speeds, rates_rps=rates_rps if same_rates else None)
        firsts.append(first)
        seconds.append(second)
    return report(firsts), report(seconds)


def alternated(random, session_noise, *, names=("small",), rounds=5, slower=1.0):
    """The two reports of a run in alternation: each visit of a variant is a session.

    The first variant becomes `slower`.
    """
    firsts, seconds = [], []
    for name in names:
        first, rates_rps = variant(random, name, random.lognormal(0.0, session_noise, rounds))
        speeds = random.lognormal(0.0, session_noise, rounds)
        speeds /= slower if name == names[0] else 1.0
        second, _ = variant(random, name, speeds, rates_rps=rates_rps)
        firsts.append(first)
        seconds.append(second)
    return report(firsts, "same"), report(seconds, "same")


def share_worse(compare, draw, runs, seed):
    """The share of runs in which the comparison calls something worse."""
    random = np.random.default_rng(seed)
    verdicts = [{change.verdict for change in compare(*draw(random))} for _ in range(runs)]
    return float(np.mean(["worse" in found for found in verdicts]))
