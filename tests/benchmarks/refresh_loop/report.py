"""The table of a run, its picture, and the same as JSON."""

import json

import matplotlib as mpl
import numpy as np
from matplotlib import pyplot as plt

from tests.benchmarks.refresh_loop.promises import broken, feedback, lost, of_version, sent

_WINDOW = 200
_STEPS = ("before", "alarm", "canary", "bad_canary")


def percent(estimate):
    value, low, high = (100 * estimate[name] for name in ("value", "low", "high"))
    return f"{value:.1f} ({low:.1f} to {high:.1f})"


def rows(figures):
    """(step, what, figure) of a whole run."""
    before, alarm, found = figures["before"], figures["alarm"], figures["labelling"]
    yield "usual traffic", "answers, with feedback", counted(before["answers"])
    yield "", "accuracy by feedback, %", percent(before["looks"][-1]["accuracy"])
    yield "", "alarms", f"{before['alarms']} in {len(before['looks'])} looks"
    yield "shifted traffic", "answers, with feedback", counted(alarm["answers"])
    fed = alarm["alarm"]
    told = f"{fed['answers']:,}, {fed['feedback']:,}" if fed else "never"
    yield "", "answers and feedback until the alarm", told
    yield "", "labels that drifted", ", ".join(alarm["looks"][-1]["drifted"]) or "none"
    for way, values in found["accuracy"].items():
        yield (
            "labelling" if way == "none" else "", f"held-out accuracy, {way}, %",
            f"{100 * np.mean(values):.1f} (seeds: {100 * min(values):.1f} to "
            f"{100 * max(values):.1f})",
        )  # fmt: skip
    for name, gain in found["gain"].items():
        yield "", f"gain, {name}, points", percent(gain)
    for step, what in (("canary", "canary"), ("bad_canary", "bad canary")):
        its = figures[step]
        yield what, "answers, with feedback", counted(its["answers"])
        yield "", "looks, decision", f"{len(its['looks'])}, {its['decision']}"
        for version in dict.fromkeys(version for version, _, _ in its["answers"]):
            answered, wrong = of_version(its["answers"], version)
            yield "", f"version {version[:8]}: answers, wrong", f"{answered:,}, {wrong:,}"
    for name, at in (
        ("accuracy_before", "before"), ("accuracy_between", "during the canary"),
        ("accuracy_after", "after the promotion"), ("accuracy_end", "after the withdrawal"),
    ):  # fmt: skip
        for texts in ("held_out", "test_split"):
            what = "shifted texts, held out" if texts == "held_out" else "own test split"
            yield (
                "accuracy, %" if texts == "held_out" else "",
                f"{at}: {what}",
                percent(figures[name][texts]),
            )
    yield "requests", "sent, lost", f"{sent(figures):,}, {lost(figures)}"


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
    """Where in the answers of all steps something happened: {what: how many answers before}."""
    starts = dict(zip(_STEPS, np.cumsum([0, *(len(figures[s]["answers"]) for s in _STEPS)])))
    fed = figures["alarm"]["alarm"]
    found = {"other texts": starts["alarm"], "canary": starts["canary"]}
    if fed:
        found["alarm"] = starts["alarm"] + fed["answers"]
    for step in ("canary", "bad_canary"):
        its = figures[step]
        found[f"{its['decision']} {step}".replace("_", " ")] = starts[step] + len(its["answers"])
    found["bad canary"] = starts["bad_canary"]
    return found


def draw(figures, path):
    """Write a PNG: the share of right answers of each version, as the answers came."""
    mpl.use("Agg")
    answers = [each for step in _STEPS for each in figures[step]["answers"]]
    figure, axes = plt.subplots(figsize=(11, 5), layout="constrained")
    for version in dict.fromkeys(version for version, _, _ in answers):
        at = np.array([n for n, each in enumerate(answers) if each[0] == version])
        right = np.array([answers[n][1] for n in at], dtype=float)
        if len(at) >= _WINDOW:
            means = np.convolve(right, np.ones(_WINDOW) / _WINDOW, mode="valid")
            axes.plot(at[_WINDOW - 1 :], 100 * means, label=version[:8])
    for what, place in marks(figures).items():
        axes.axvline(place, color="grey", linestyle=":")
        axes.annotate(what, (place, 0.02), xycoords=("data", "axes fraction"), rotation=90)
    axes.set_xlabel("answers")
    axes.set_ylabel(f"right of a version's last {_WINDOW} answers, %")
    axes.legend(title="version")
    axes.grid(alpha=0.3)
    figure.savefig(path, dpi=110)
    plt.close(figure)
