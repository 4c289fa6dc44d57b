"""Reports of known figures, for what is decided with them."""

import json

import numpy as np


def estimate(value, spread=0.05):
    return {"value": value, "low": value * (1 - spread), "high": value * (1 + spread)}


def load(kind, rate_rps, p99_ms, *, rounds=5, noise=0.02, seed=0, scale=1.0):
    """A load's part of report.json; `scale` slows the server down, `noise` differs by round."""
    random = np.random.default_rng(seed)
    own = [
        {
            "round": number,
            "refusals": [],
            "achieved_rps": rate_rps
            / (scale if kind == "closed" else 1.0)
            * random.lognormal(0, noise),
            "p50_ms": p99_ms / 3 * scale * random.lognormal(0, noise),
            "p99_ms": p99_ms * scale * random.lognormal(0, 2 * noise),
        }
        for number in range(rounds)
    ]
    return {
        "kind": kind, "users": 32, "arrivals": "poisson", "texts_per_request": 1,
        "on_curve": kind == "open",
        "rate_rps": 0.0 if kind == "closed" else rate_rps,
        "rounds": own, "refusals": [], "findings": [], "sustained": True,
        "offered_rps": estimate(rate_rps, 0.0), "achieved_rps": estimate(rate_rps),
        "latency_ms": {"p50": estimate(p99_ms / 3), "p99": estimate(p99_ms, 0.1)},
        "split_mean_ms": {"tokenize": 0.1, "queue": p99_ms / 10, "engine": p99_ms / 4},
    }  # fmt: skip


def variant(name, accuracy, capacity_rps, p99_ms, **changes):
    """One whose p99 doubles with every fifth of its capacity, from `p99_ms` at a fifth of it."""
    loads = {"closed": load("closed", capacity_rps, 9 * p99_ms, **changes)}
    for share in (0.2, 0.4, 0.6, 0.8):
        p99 = p99_ms * 2 ** (share / 0.2 - 1)
        loads[f"open-{share:.0%}"] = load("open", share * capacity_rps, p99, **changes)
    curve = [
        {"rate_rps": each["offered_rps"]["value"], "p99_ms": each["latency_ms"]["p99"]["value"]}
        for each in loads.values()
        if each["kind"] == "open"
    ]
    return {
        "model": "tone", "variant": name, "stages": [name], "brownout_ms": None,
        "accuracy": estimate(accuracy, 0.01), "loads": loads, "curve": curve,
        "peak_bytes": 200 << 20,
    }  # fmt: skip


def report(**changes):
    return {
        "machine": {"cpu": "one", "cores": 2},
        "scenario": {
            "slo_p99_ms": 50.0, "measured_s": 6.0, "rounds": 5,
            "loads": [],
        },
        "variants": [
            variant("large", 0.90, 200.0, 10.0, **changes),
            variant("small", 0.86, 800.0, 4.0, **changes),
            variant("tiny", 0.80, 2000.0, 2.0, **changes),
        ],
    }  # fmt: skip


def settle(folder):
    """Give the p99s of a short run the narrow intervals of a long one."""
    path = folder / "report.json"
    told = json.loads(path.read_text())
    for each in told["variants"]:
        for load in each["loads"].values():
            load["latency_ms"]["p99"] = estimate(load["latency_ms"]["p99"]["value"], 0.1)
    path.write_text(json.dumps(told))
