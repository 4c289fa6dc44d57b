"""What a family offers to measure: each variant that reads texts, and its cascades."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from loadtest.analysis.cascade_choices import choices, request_fields
from loadtest.measure.server import LoadTestError, request_json


@dataclass(frozen=True)
class Choice:
    """One choice that a family offers: a variant alone, or a cascade of several `stages`."""

    model: str
    variant: str
    stages: tuple[str, ...]
    brownout_ms: int | None = None
    pairs: bool = False

    @property
    def name(self) -> str:
        """The name of its files."""
        return f"{self.model}.{self.variant}"


def available_choices(
    models: list[dict[str, Any]], brownout_ms: int | None, wanted: list[str] | None
) -> Iterator[Choice]:
    """Yield the choices that are ready, or only those of `wanted` variants."""
    ready, reasons = [], set()
    for model in models:
        for each in choices(model, brownout_ms):
            choice = Choice(
                model["model"],
                each["variant"],
                tuple(each["stages"]),
                each["brownout_ms"],
                pairs=bool(each.get("pairs")),
            )
            skipped = None if each["state"] == "ready" else f"its state is {each['state']}"
            if each.get("tensors"):
                skipped = "it reads rows of numbers, and a load test sends texts"
            if skipped is None:
                ready.append(choice)
            else:
                print(f"{choice.model}/{choice.variant} is skipped: {skipped}")
                reasons.add(skipped)
    if not ready:
        raise LoadTestError(
            f"no variant can be measured: {'; '.join(sorted(reasons)) or 'the server has none'}: "
            "name a registry or a server with a ready variant that reads texts"
        )
    names = {choice.variant for choice in ready}
    if missing := set(wanted or ()) - names:
        raise LoadTestError(
            f"--variant {', '.join(sorted(missing))}: not available; the server offers "
            f"{', '.join(sorted(names))}"
        )
    yield from (choice for choice in ready if not wanted or choice.variant in wanted)


def check_stages(url: str, choice: Choice) -> None:
    """Raise LoadTestError if another variant answers, or if the server refuses the cascade."""
    texts = [["Good.", "Bad."]] if choice.pairs else ["Good."]
    request = {"texts": texts, "model": choice.model} | request_fields(choice.variant)
    answering = request_json(f"{url}/v1/classify", request)["results"][0]["variant"]
    if answering not in choice.stages:
        raise LoadTestError(
            f"{answering} answered a request for {choice.variant}: this is a bug of the server"
        )
    if len(choice.stages) > 1:
        models = request_json(f"{url}/v1/models")["models"]
        if not any(each["model"] == choice.model and each["cascade"] for each in models):
            raise LoadTestError(f"the server refuses the cascade of {choice.model}: see its log")
