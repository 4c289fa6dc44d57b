"""The choices that a family offers: each variant alone, its cascade, its cascade in brownout."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any

AUTO = "auto"
"""The cascade, never degraded."""
BROWNOUT = "brownout"
"""The cascade where cheaper variants answer the texts that would wait too long."""
SPLIT = "test"
"""The evaluation whose accuracy counts."""


def choices(model: dict[str, Any], brownout_ms: int | None) -> Iterator[dict[str, Any]]:
    """Yield a family's variants as the server lists them, then its cascade, then its brownout.

    `stages` are the variants that answer; `bytes` and `parameters` are sums over them.
    `brownout_ms` is the wait above which the server degrades; without it brownout is left out.
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
        "pairs": any(each.get("pairs") for each in own),
        "stages": [each["variant"] for each in own],
    }
    yield whole | single | {"variant": AUTO}
    if brownout_ms is not None:
        yield whole | {"variant": BROWNOUT, "brownout_ms": brownout_ms}


def request_fields(choice: str) -> dict[str, Any]:
    """Return the fields of a request for a choice; only brownout allows degraded answers."""
    degrading = choice == BROWNOUT
    return {"variant": AUTO if degrading else choice, "allow_degraded": degrading}


def cascade_description(stages: Sequence[str], brownout_ms: int | None) -> str:
    """Describe a cascade by its stages; empty for a single variant."""
    if len(stages) == 1:
        return ""
    degrading = "" if brownout_ms is None else f", brownout above a wait of {brownout_ms} ms"
    return f"cascade of {', '.join(stages)}{degrading}"


def name_of(variant: dict[str, Any]) -> str:
    """Return model/variant."""
    return f"{variant['model']}/{variant['variant']}"


def degraded_accuracy(model: dict[str, Any], degraded: Mapping[str, float]) -> dict[str, float]:
    """Return the cascade's accuracy, given the share of texts that each variant answered degraded.

    A text that a stage answered degraded should have escalated, so it loses on average

        (accuracy(whole) - accuracy(prefix that ends at the stage)) / reach(the next stage),

    because only escalated texts make that difference, and a text above the threshold is never
    degraded. (If a middle stage stood in alone, its loss is overstated: the report cannot tell.) A
    text that the last stage alone or a variant outside the cascade answered loses accuracy(whole) -
    accuracy(variant), where an unmeasured variant counts as 0. The interval shifts with the value.
    """
    stages = model["cascade"]["stages"]
    whole: dict[str, float] = stages[-1]["accuracy"]
    lost = {
        each["variant"]: whole["value"] - evaluation["accuracy"]["value"]
        for each in model["variants"]
        if (evaluation := each["evaluations"].get(SPLIT))
    } | {
        stage["variant"]: (whole["value"] - stage["accuracy"]["value"]) / following["reach"]
        for stage, following in pairwise(stages)
        if following["reach"]
    }
    loss = sum(share * lost.get(name, whole["value"]) for name, share in degraded.items())
    return {bound: value - loss for bound, value in whole.items()}
