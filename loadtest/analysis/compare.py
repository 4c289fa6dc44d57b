"""Compare two reports: which figures changed beyond noise."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from loadtest.analysis.cascade_choices import name_of
from loadtest.samples import ANSWER_TIMEOUT_S

SMALLEST_RATIO = 1.05
"""A smaller change of a rate or a latency does not count, however sure."""
SESSION_NOISE = 0.05
"""Relative standard deviation of a machine's speed from one session to another."""
_CONFIDENCE = 0.95
_MAX_UTILISATION = 0.95
_SAME_RATE = 1e-3
_STALLED_RPS = 1e-3  # for the logarithm of a throughput of 0
_LOST_SHARE = 0.4  # of the rounds, two of five: fewer may be the machine's
_ACCURACY = "accuracy"
_LOWER_IS_BETTER = {"p50, ms": True, "p99, ms": True, "achieved/s": False, _ACCURACY: False}
_FIELDS = {"p50, ms": "p50_ms", "p99, ms": "p99_ms", "achieved/s": "achieved_rps"}
# What two runs may differ in: how precise they are and what is done with them.
_FREE = {"rounds", "processes", "floor", "deploy"}


@dataclass(frozen=True)
class Change:
    """One figure under one load: `ratio` is after / before, `p_value` is Holm-adjusted."""

    variant: str
    load: str
    figure: str
    before: float | None
    after: float | None
    ratio: float | None
    p_value: float | None
    verdict: str
    """better | worse | none | missing (from the second report) | new | unknown (no figure)"""


@dataclass(frozen=True)
class _Test:
    names: tuple[str, str, str]
    before: float
    after: float
    p_value: float


def compare(before: dict[str, Any], after: dict[str, Any]) -> list[Change]:
    """Return every figure of either report, with a verdict.

    The sample is the rounds, on logarithms of each round's figure, with Holm's correction over all
    figures (Holm 1979), so that testing many figures raises no false alarm. Two servers that were
    measured in alternation share the machine's mood: the t-test is of the differences in each
    round. Two runs on their own were measured in one session each, whose noise no number of rounds
    shows: SESSION_NOISE is added to Welch's test. A change counts if it is significant at 5 %
    overall and at least 5 % in size. Closed loads are judged by throughput, open loads by latency,
    at the same rates. A server that no longer keeps up, or leaves too much unanswered for a figure
    in two of five rounds more than before, is worse without a test: no scale holds seconds and
    refusals. In fewer rounds, a figure lost counts as the client's patience.
    Raise ValueError if the reports are of different scenarios or machines.
    """
    if different := _differences(before, after):
        raise ValueError(
            f"the reports differ in {', '.join(different)}, so their figures do not compare: "
            "measure both with one scenario on one machine"
        )
    found = list(_figures(before, after, is_alternated(before, after)))
    tests = [each for each in found if isinstance(each, _Test)]
    adjusted = iter(_holm([each.p_value for each in tests]))
    return [_judged(each, next(adjusted)) if isinstance(each, _Test) else each for each in found]


def is_alternated(before: dict[str, Any], after: dict[str, Any]) -> bool:
    """Tell whether two reports are the two sides of one alternated run."""
    own: str | None = before.get("alternation")
    return own is not None and own == after.get("alternation")


def _differences(before: dict[str, Any], after: dict[str, Any]) -> list[str]:
    """Name what makes two reports incomparable: settings of the scenario, the machine."""
    old, new = before["scenario"], after["scenario"]
    names = sorted((old.keys() | new.keys()) - _FREE)
    found = [name for name in names if old.get(name) != new.get(name)]
    machines = (before["machine"], after["machine"])
    return found + [name for name in ("cpu", "cores") if len({m.get(name) for m in machines}) > 1]


def _figures(
    before: dict[str, Any], after: dict[str, Any], paired: bool
) -> Iterator[_Test | Change]:
    old, new = ({name_of(each): each for each in report["variants"]} for report in (before, after))
    for name in old.keys() - new.keys():
        yield Change(name, "", "", None, None, None, None, "missing")
    for name in new.keys() - old.keys():
        yield Change(name, "", "", None, None, None, None, "new")
    for name, variant in new.items():
        if name in old:
            yield from _accuracy(name, old[name], variant)
            yield from _loads(name, old[name], variant, paired)


def _accuracy(name: str, old: dict[str, Any], new: dict[str, Any]) -> Iterator[_Test | Change]:
    a, b = old["accuracy"], new["accuracy"]
    if a is None and b is None:
        return
    if a is None or b is None:
        known = [each and each["value"] for each in (a, b)]
        verdict = "missing" if b is None else "new"
        yield Change(name, "", _ACCURACY, known[0], known[1], None, None, verdict)
        return
    # As if of two samples of texts: without each text's answers, this overstates the noise.
    widths = [(each["high"] - each["low"]) / 2.0 / stats.norm.ppf(0.975) for each in (a, b)]
    noise, lost = float(np.hypot(*widths)), abs(a["value"] - b["value"])
    p_value = float(2.0 * stats.norm.sf(lost / noise)) if noise > 0.0 else float(lost == 0.0)
    yield _Test((name, "", _ACCURACY), a["value"], b["value"], p_value)


def _loads(
    name: str, old: dict[str, Any], new: dict[str, Any], paired: bool
) -> Iterator[_Test | Change]:
    for load_name in old["loads"] | new["loads"]:
        loads = [each["loads"].get(load_name) for each in (old, new)]
        closed = any(load and load["kind"] == "closed" for load in loads)
        for figure in ("achieved/s",) if closed else ("p50, ms", "p99, ms"):
            names = name, load_name, figure
            rounds = [_rounds(load, figure) if load else {} for load in loads]
            if paired:
                shared = rounds[0].keys() & rounds[1].keys()
                rounds = [{number: each[number] for number in sorted(shared)} for each in rounds]
            found = [np.array(list(each.values()), np.float64) for each in rounds]
            a, b = (np.where(np.isfinite(each), each, _worst(figure)) for each in found)
            values = [float(np.exp(each.mean())) if each.size else None for each in (a, b)]
            if min(a.size, b.size) < 2 or not _same_rate(*loads):
                yield Change(*names, values[0], values[1], None, None, "unknown")
            elif lost := _lost(loads, found):
                before, after = (None, values[1]) if lost < 0 else (values[0], None)
                verdict = "better" if lost < 0 else "worse"
                yield Change(*names, before, after, None, None, verdict)
            else:
                noise = _session_noise(old, loads[0])
                p_value = _paired(b - a) if paired else _welch(a, b, 2.0 * noise**2)
                yield _Test(names, float(np.exp(a.mean())), float(np.exp(b.mean())), p_value)


def _same_rate(old: dict[str, Any], new: dict[str, Any]) -> bool:
    """Tell whether two loads offered the same rate; a latency at another one says nothing."""
    return bool(abs(old["rate_rps"] - new["rate_rps"]) <= _SAME_RATE * old["rate_rps"])


def _rounds(load: dict[str, Any], figure: str) -> dict[int, float]:
    """Return the logarithm of a figure by round, infinite without one; without those refused."""
    field = _FIELDS[figure]
    return {
        each["round"]: float(np.log(each[field])) if each[field] else np.inf
        for each in load["rounds"]
        if not each["refusals"]
    }


def _worst(figure: str) -> float:
    """Return the logarithm that stands for a round without a figure in a test."""
    return float(np.log(ANSWER_TIMEOUT_S * 1e3 if _LOWER_IS_BETTER[figure] else _STALLED_RPS))


def _lost(loads: list[dict[str, Any]], rounds: list[NDArray[np.float64]]) -> int:
    """Return 1 if the second server lost a load that the first one bore, -1 for the reverse.

    A closed load offers what the server takes, and a ramp more than that on purpose.
    """
    overloaded = [
        each["kind"] == "open" and each["arrivals"] != "ramp" and not each["sustained"]
        for each in loads
    ]
    if more := int(overloaded[1]) - int(overloaded[0]):
        return more
    more_rounds = float(np.mean(np.isinf(rounds[1])) - np.mean(np.isinf(rounds[0])))
    return int(np.sign(more_rounds)) if abs(more_rounds) > _LOST_SHARE - 1e-9 else 0


def _session_noise(variant: dict[str, Any], load: dict[str, Any]) -> float:
    """Return the standard deviation of a load's log figures from one session to another.

    A slower machine is a busier one: in a queue, latency is proportional to 1 / (1 - utilisation),
    so a relative change of the speed has 1 / (1 - utilisation) times its effect on the latency.
    """
    closed = [each for each in variant["loads"].values() if each["kind"] == "closed"]
    if load["kind"] == "closed" or not closed or not closed[0]["achieved_rps"]:
        return SESSION_NOISE
    saturated_rps = closed[0]["achieved_rps"]["value"]
    utilisation: float = load["offered_rps"]["value"] / max(saturated_rps, 1e-9)
    return SESSION_NOISE / (1.0 - min(utilisation, _MAX_UTILISATION))


def _paired(differences: NDArray[np.float64]) -> float:
    """Return the two-sided p-value of Student's t-test, also for equal values."""
    error = float(differences.std(ddof=1)) / differences.size**0.5
    if error < 1e-9:
        return float(np.isclose(differences.mean(), 0.0, atol=1e-9))
    return float(2.0 * stats.t.sf(abs(differences.mean()) / error, differences.size - 1))


def _welch(a: NDArray[np.float64], b: NDArray[np.float64], known_variance: float = 0.0) -> float:
    """Return the two-sided p-value of Welch's t-test; unlike scipy's, also for equal values.

    `known_variance` is added to the variance of the difference, with infinite degrees of freedom.
    """
    own = np.array([a.var(ddof=1) / a.size, b.var(ddof=1) / b.size])
    if (total := own.sum() + known_variance) < 1e-18:
        return float(np.isclose(a.mean(), b.mean()))
    estimated = (own**2 / (np.array([a.size, b.size]) - 1)).sum()
    freedom = total**2 / estimated if estimated > 0.0 else np.inf
    return float(2.0 * stats.t.sf(abs(a.mean() - b.mean()) / total**0.5, freedom))


def _holm(p_values: list[float]) -> list[float]:
    """Return Holm's adjusted p-values, in the order given."""
    adjusted = np.ones(len(p_values))
    running = 0.0
    for rank, index in enumerate(np.argsort(p_values)):
        running = max(running, (len(p_values) - rank) * p_values[index])
        adjusted[index] = min(1.0, running)
    found: list[float] = adjusted.tolist()
    return found


def _judged(test: _Test, p_value: float) -> Change:
    ratio = test.after / test.before
    return Change(
        *test.names,
        test.before,
        test.after,
        ratio,
        p_value,
        _verdict(test.names[2], ratio, p_value),
    )


def _verdict(figure: str, ratio: float, p_value: float) -> str:
    small = figure != _ACCURACY and 1 / SMALLEST_RATIO < ratio < SMALLEST_RATIO
    if p_value > 1.0 - _CONFIDENCE or small or ratio == 1.0:
        return "none"
    return "worse" if (ratio > 1.0) == _LOWER_IS_BETTER[figure] else "better"
