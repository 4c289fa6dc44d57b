"""The table of a run, its picture, and the same as JSON."""

import json

import matplotlib as mpl
import numpy as np
from matplotlib import pyplot as plt

from tests.benchmarks.refresh_loop.promises import broken, feedback, lost, sent

_WINDOW, _FEWEST = 200, 50
_STEPS = ("before", "alarm", "canary", "bad_canary")
_ACCURACIES = {
    "accuracy_before": "before", "accuracy_between": "with the canary",
    "accuracy_after": "promoted", "accuracy_end": "at the end",
}  # fmt: skip


def percent(estimate):
    value, low, high = (100 * estimate[name] for name in ("value", "low", "high"))
    return f"{value:.1f} ({low:.1f} to {high:.1f})"


def rows(figures):
    """(step, what, figure) of a whole run."""
    before, alarm = figures["before"], figures["alarm"]
    yield "usual traffic", "answers, with feedback", counted(before["answers"])
    yield "", "accuracy by feedback, %", percent(before["looks"][-1]["accuracy"])
    yield "", "looks, alarms", f"{len(before['looks'])}, {before['alarms']}"
    yield "shifted traffic", "answers, with feedback", counted(alarm["answers"])
    fed = alarm["alarm"]
    told = f"{fed['answers']:,}, {fed['feedback']:,}" if fed else "never"
    yield "", "until the alarm: answers, with feedback", told
    yield "", "accuracy by all feedback then, %", percent(alarm["looks"][-1]["accuracy"])
    yield "", "labels that drifted then", ", ".join(alarm["looks"][-1]["drifted"]) or "none"
    yield from _labelling(figures["labelling"])
    yield from _turn("refresh", figures["refresh"])
    yield from _canary("canary", figures["canary"], figures["refresh"])
    yield from _turn("swapped labels", figures["poison"])
    if figures["poison"]["refused"]:
        yield from _turn("gate open", figures["poison_past_the_gate"])
    yield from _canary("bad canary", figures["bad_canary"], figures["poison_past_the_gate"])
    for name, at in _ACCURACIES.items():
        yield "accuracy", f"{at}, shifted, held out, %", percent(figures[name]["held_out"])
        yield "", f"{at}, own test split, %", percent(figures[name]["test_split"])
    yield "requests", "sent, lost", f"{sent(figures):,}, {lost(figures)}"


def _labelling(found):
    for way, values in found["accuracy"].items():
        seeds = f"seeds: {100 * min(values):.1f} to {100 * max(values):.1f}"
        first = f"labelling, of {found['texts']:,} texts" if way == "none" else ""
        yield first, f"held out, 200 {way}, %", f"{100 * np.mean(values):.1f} ({seeds})"
    shares = ", ".join(f"{way} {share:.0%}" for way, share in found["shifted"].items())
    yield "", "shifted ones of the 200", shares
    for name, gain in found["gain"].items():
        yield "", f"gain, {name}, points", percent(gain)


def _turn(name, turn):
    """What a turn made, or why it made nothing."""
    collected = turn["collected"]
    given = f"{collected['feedback']:,}, {collected['tables']:,}"
    yield name, "answers with feedback, rows of tables", given
    yield "", "texts of which these say different things", f"{collected['contradictory']:,}"
    added = collected["added"]
    yield "", "new texts, of which to train on", f"{sum(added.values()):,}, {added['train']:,}"
    if turn["refused"]:
        yield "", "refused", turn["refused"].partition(": ")[2].partition(", so")[0]
    for split, what in (("new_test", "new test texts"), ("old_test", "texts of the test split")):
        for its in list(turn[split].values())[:1]:
            gain = percent(its["versus"]["difference"])
            yield "", f"more accurate than live on {its['texts']:,} {what}, points", gain


def _canary(name, its, turn):
    yield name, "answers, with feedback", counted(its["answers"])
    starts = len(its["looks"]) - 1
    yield "", "starts of `refresh`, outcome", f"{starts}, {its['outcome'] or 'undecided'}"
    if pooled := its["looks"][-1]["pooled"]:
        yield "", "right more often than live, points", percent(pooled["difference"])
    tried = turn["versions"].values()
    for is_new, who in ((False, "live"), (True, "new")):
        rights = [right for version, right, _ in its["answers"] if (version in tried) == is_new]
        yield "", f"{who} versions: answers, wrong", f"{len(rights):,}, {rights.count(False):,}"


def counted(answers):
    return f"{len(answers):,}, {feedback(answers):,}"


def table(figures):
    lines = [f"| {' | '.join(row)} |" for row in rows(figures)]
    return "\n".join(["| step | what | |\n| --- | --- | --: |", *lines])


def as_json(figures):
    """All but the single answers, and what is broken."""
    told = {
        name: {key: value for key, value in its.items() if key != "answers"}
        for name, its in figures.items()
    }
    return json.dumps(told | {"broken": broken(figures)}, indent=2)


def marks(figures):
    """What happened after how many answers: {answers: what}."""
    sizes = [len(figures[step]["answers"]) for step in _STEPS]
    ends = dict(zip(_STEPS, np.cumsum(sizes).tolist(), strict=True))
    fed = figures["alarm"]["alarm"]
    alarm = {ends["before"] + fed["answers"]: "alarm"} if fed else {}
    good, bad = (figures[step]["outcome"] or "undecided" for step in ("canary", "bad_canary"))
    return alarm | {
        ends["before"]: "other texts",
        ends["alarm"]: "canary",
        ends["canary"]: f"{good}; bad canary",
        ends["bad_canary"]: bad,
    }


def roles(figures):
    """What the versions of each turn are: {version: what}."""
    turns = {"refreshed": "refresh", "of swapped labels": "poison_past_the_gate"}
    return {v: role for role, step in turns.items() for v in figures[step]["versions"].values()}


def running_means(values):
    """The mean of the last values up to each, at most so many."""
    sums = np.cumsum(np.concatenate([[0.0], values]))
    ends = np.arange(1, len(sums))
    starts = np.maximum(0, ends - _WINDOW)
    return (sums[ends] - sums[starts]) / (ends - starts)


def draw(figures, path):
    """Write a PNG: the share of right answers of each turn's versions, as the answers came."""
    mpl.use("Agg")
    answers = [each for step in _STEPS for each in figures[step]["answers"]]
    by_version = roles(figures)
    whose = [by_version.get(version, "first") for version, _, _ in answers]
    figure, axes = plt.subplots(figsize=(11, 5), layout="constrained")
    for role in dict.fromkeys(whose):
        at = np.array([n for n, each in enumerate(whose) if each == role])
        right = np.array([answers[n][1] for n in at], dtype=float)
        if len(at) >= _FEWEST:
            axes.plot(at[_FEWEST - 1 :], 100 * running_means(right)[_FEWEST - 1 :], label=role)
    for place, what in marks(figures).items():
        axes.axvline(place, color="grey", linestyle=":")
        axes.annotate(what, (place, 0.02), xycoords=("data", "axes fraction"), rotation=90)
    axes.set_xlabel("answers")
    axes.set_ylabel(f"right of up to {_WINDOW} answers, %")
    axes.legend(title="versions", loc="upper right")
    axes.grid(alpha=0.3)
    figure.savefig(path, dpi=110)
    plt.close(figure)
