"""A family's cascade as choices beside its variants: how it is asked, and its accuracy. Pure.

It does not know how anything is measured, nor how a server decides who answers.
"""

from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any

AUTO = "auto"
"""The cascade, undegraded."""
BROWNOUT = "brownout"
"""The cascade where texts that would wait too long are answered by cheaper variants."""
SPLIT = "test"
"""The evaluation that a variant is judged by."""


def choices(model: dict[str, Any], brownout_ms: int | None) -> Iterator[dict[str, Any]]:
    """A family's variants as the server lists them, then its cascade, also under brownout.

    `stages` are the variants that answer, and stand behind the sums in `bytes` and `parameters`.
    Without `brownout_ms`, the wait from which on a server degrades, there is no brownout.
    """
    single: dict[str, Any] = {"brownout_ms": None}
    yield from (each | single | {"stages": [each["variant"]]} for each in model["variants"])
    if not model.get("cascade"):
        return
    stages = model["cascade"]["stages"]
    by_name = {each["variant"]: each for each in model["variants"]}
    own = [by_name[stage["variant"]] for stage in stages]
    whole = {
        "version": "+".join(each["version"] for each in own),
        "precision": "cascade",
        "parameters": sum(each["parameters"] for each in own),
        "bytes": sum(each["bytes"] for each in own),
        "engine": ", ".join(dict.fromkeys(each["engine"] for each in own)),
        "evaluations": {SPLIT: {"accuracy": stages[-1]["accuracy"]}},
        "state": "ready",
        "stages": [each["variant"] for each in own],
    }
    yield whole | single | {"variant": AUTO}
    if brownout_ms is not None:
        yield whole | {"variant": BROWNOUT, "brownout_ms": brownout_ms}


def asked(choice: str) -> dict[str, Any]:
    """What a request says to be answered by a choice; degraded is an answer of another one."""
    degrading = choice == BROWNOUT
    return {"variant": AUTO if degrading else choice, "allow_degraded": degrading}


def made_of(stages: Sequence[str], brownout_ms: int | None) -> str:
    """In words, what a choice is that is no single variant; empty for a variant."""
    if len(stages) == 1:
        return ""
    degrading = "" if brownout_ms is None else f", brownout from {brownout_ms} ms of waiting"
    return f"cascade of {', '.join(stages)}{degrading}"


def degraded_accuracy(model: dict[str, Any], degraded: Mapping[str, float]) -> dict[str, float]:
    """The cascade's accuracy where these shares of the texts, by variant, were answered degraded.

    Each text that a stage answered degraded should have gone on, so it loses on average

        (accuracy(whole) - accuracy(prefix that ends at the stage)) / reach(the next stage),

    for that difference is made by the texts that go on, and a text that the threshold accepted is
    not degraded. (A middle stage that stood in alone looks the same; its loss is overstated.) One
    that the last stage alone or a variant outside the cascade answered loses accuracy(whole) -
    accuracy(variant), the latter being 0 where it was never measured. The interval moves with the
    value.
    """
    stages = model["cascade"]["stages"]
    whole: dict[str, float] = stages[-1]["accuracy"]
    lost = {
        each["variant"]: whole["value"] - evaluation["accuracy"]["value"]
        for each in model["variants"]
        if (evaluation := each["evaluations"].get(SPLIT))
    } | {
        stage["variant"]: (whole["value"] - stage["accuracy"]["value"]) / onward["reach"]
        for stage, onward in pairwise(stages)
        if onward["reach"]
    }
    loss = sum(share * lost.get(name, whole["value"]) for name, share in degraded.items())
    return {bound: value - loss for bound, value in whole.items()}
