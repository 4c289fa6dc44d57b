"""Plans which variants to make, in what order, within the time: facts to recipes. Pure."""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from models.compression.estimates import (
    adopt_s,
    distill_s,
    export_s,
    finish_s,
    quantize_s,
    static_s,
    train_s,
)
from models.compression.facts import Facts
from models.compression.recipe_content import (
    TEACHER,
    adopted,
    distilled,
    fine_tuned,
    quantized,
    static,
    static_epochs,
    static_root,
)
from models.compression.students import Shape, shapes, size_bytes
from models.recipe_sections import Scheme, TrainSection

MOST_UNKNOWN: float = TrainSection.model_fields["max_unknown_share"].default
_FEWEST_EPOCHS = 2
_TEACHER_SHARE = 0.6
_TYPICAL_SHARE = 1 / 4
_STATIC_BYTES = {"fp32": 2_400_000, "int8": 800_000}
_STATIC_FORMAT_S = 5.0
FORMATS: tuple[Scheme, ...] = ("int8-dynamic", "int8-static", "int8-openvino", "int4")


@dataclass(frozen=True)
class Step:
    """One variant to make: its recipe, what it should cost and weigh, and why it is made."""

    variant: str
    why: str
    content: Mapping[str, Any]
    seconds: float
    bytes: int


@dataclass(frozen=True)
class LeftOut:
    """A variant that is not made, the reason, the option that would change that, and its size."""

    variant: str
    reason: str
    bytes: int = 0


@dataclass(frozen=True)
class Plan:
    """The steps in order, those to make if they take less than estimated, and what is left out.

    `finish_s` are the seconds of what comes after them: the report and, with `has_cascade`, the
    search for a cascade.
    """

    steps: tuple[Step, ...]
    later: tuple[Step, ...]
    left_out: tuple[LeftOut, ...]
    finish_s: float
    has_cascade: bool


@dataclass(frozen=True)
class Limits:
    """What the planner must keep to; `schemes` are the number formats that can be written here."""

    seconds: float
    max_drop: float
    max_bytes: int | None = None
    formats_only: bool = False
    schemes: tuple[Scheme, ...] = FORMATS


def plan(facts: Facts, family: str, source: str, limits: Limits) -> Plan:
    """Decide which variants to make.

    First the teacher and its number format, then the static student, which takes little time, then
    the other students: what is nearest to the wanted size first. What is too large comes last, what
    would exceed the time is left for later. Where the model cannot read the texts or cannot be
    trained in time, a static classifier is made of the texts alone.
    """
    head = {"family": family}
    found = _in_time(facts, head, source, limits)
    left = [*found.left_out]
    for step in found.later:
        minutes = _minutes(step.variant, facts, head, source, limits)
        reason = f"takes too long: about --minutes {minutes} in all would include it"
        left.append(LeftOut(step.variant, reason, step.bytes))
    if limits.formats_only:
        left.append(LeftOut("students", "--formats-only: leave it out to train them"))
    elif not facts.model.is_cuttable:
        left.append(LeftOut("students of fewer layers", "the model's layers cannot be cut"))
    return replace(found, left_out=tuple(left))


def _in_time(facts: Facts, head: Mapping[str, Any], source: str, limits: Limits) -> Plan:
    """The plan; of what it leaves out only the teacher's reason is said."""
    teacher = _teacher(facts, head, source, limits)
    left = (teacher,) if isinstance(teacher, LeftOut) else ()
    has_cascade = not left and _may_have_cascade(facts, limits)
    end_s = finish_s(facts, cascade=has_cascade)
    steps, later = _within(_candidates(facts, head, teacher, limits), limits.seconds - end_s)
    return Plan(tuple(steps), tuple(later), left, end_s, has_cascade)


def _may_have_cascade(facts: Facts, limits: Limits) -> bool:
    return bool(facts.texts.labels) and not limits.formats_only


def _candidates(
    facts: Facts, head: Mapping[str, Any], teacher: Step | LeftOut, limits: Limits
) -> list[Step]:
    """All that can be made, in the order in which it should be."""
    if isinstance(teacher, LeftOut):
        return [*_static_alone(facts, head, limits)]
    smaller = [*_quickest(facts, head, limits)]
    if not limits.formats_only:
        smaller += _students(facts, head, limits)
    return [teacher, *sorted(smaller, key=lambda step: not _is_of_use(step, smaller, limits))]


def _is_of_use(step: Step, steps: Sequence[Step], limits: Limits) -> bool:
    """Whether it, or what is made from it, is as small as wanted."""
    return limits.max_bytes is None or any(
        each.bytes <= limits.max_bytes
        for each in steps
        if step.variant in (each.variant, each.content["parent"])
    )


def seconds_of(step: Step, steps: Iterable[Step]) -> float:
    """Return how long it takes to make a step and the number formats of it among `steps`."""
    return step.seconds + sum(s.seconds for s in steps if s.content.get("parent") == step.variant)


def _within(wanted: Sequence[Step], seconds: float) -> tuple[list[Step], list[Step]]:
    """Divide the steps by whether there is time for them, their parents and formats.

    For the first one there is.
    """
    steps, later = [wanted[0]], list[Step]()
    left_s = seconds - wanted[0].seconds
    for step in wanted[1:]:
        has_parent = step.content["parent"] not in {each.variant for each in later}
        if not has_parent or seconds_of(step, wanted) > left_s:
            later.append(step)
        else:
            steps.append(step)
            left_s -= step.seconds
    return steps, later


def _minutes(
    variant: str, facts: Facts, head: Mapping[str, Any], source: str, limits: Limits
) -> int:
    """Return so many minutes that a plan has the variant; of many hours, in steps of 2 %."""
    minutes = math.ceil(limits.seconds / 60)
    steps: tuple[Step, ...] = ()
    while variant not in {step.variant for step in steps}:
        minutes += max(1, minutes // 50)
        steps = _in_time(facts, head, source, replace(limits, seconds=60.0 * minutes)).steps
    return minutes


def _teacher(facts: Facts, head: Mapping[str, Any], source: str, limits: Limits) -> Step | LeftOut:
    """The root: the model as it is, or fine-tuned, for fewer epochs if time is short.

    Time is left for the variants that it takes least to make.
    """
    model, texts = facts.model, facts.texts
    if texts.unknown > MOST_UNKNOWN:
        return LeftOut(
            TEACHER,
            f"its vocabulary does not know {texts.unknown:.0%} of the texts' tokens: choose a "
            "model for their language as SOURCE",
        )
    size = size_bytes(model, None, "fp32")
    if model.kind == "classifier":
        content = {**head, **adopted(facts, source)}
        return Step(TEACHER, "the original, as it is", content, adopt_s(facts), size)
    content = {**head, **fine_tuned(facts, source)}
    quickest = [*_quickest(facts, head, limits)]
    needed = [step for step in quickest if _is_of_use(step, quickest, limits)]
    end_s = finish_s(facts, cascade=_may_have_cascade(facts, limits))
    rest_s = export_s(facts) + sum(step.seconds for step in needed) + end_s
    time_s = min(_TEACHER_SHARE * limits.seconds, limits.seconds - rest_s)
    epochs = min(content["train"]["epochs"], int(time_s / train_s(facts, 1)))
    epochs = max(epochs, _FEWEST_EPOCHS)
    seconds = train_s(facts, epochs)
    if seconds + rest_s > limits.seconds:
        minutes = math.ceil((seconds + rest_s) / 60)
        return LeftOut(
            TEACHER,
            "training it and making its smallest variants takes too long: "
            f"--minutes {minutes} includes it",
        )
    seconds += export_s(facts)
    content["train"] = content["train"] | {"epochs": epochs}
    return Step(TEACHER, "the base model, fine-tuned on the texts", content, seconds, size)


def _formats(facts: Facts, head: Mapping[str, Any], limits: Limits) -> Iterator[Step]:
    schemes = limits.schemes if limits.formats_only else limits.schemes[:1]
    for scheme in schemes:
        short = "int8" if scheme == "int8-dynamic" else scheme.removeprefix("int8-")
        precision = "int4" if scheme == "int4" else "int8"
        yield Step(
            f"teacher-{short}",
            f"the teacher as {scheme}",
            {**head, "parent": TEACHER, **quantized(facts, scheme, limits.max_drop)},
            quantize_s(facts, None),
            size_bytes(facts.model, None, precision),
        )


def _quickest(facts: Facts, head: Mapping[str, Any], limits: Limits) -> Iterator[Step]:
    """The teacher's number formats and the static student."""
    yield from _formats(facts, head, limits)
    if not limits.formats_only:
        yield Step(
            "static-fp32",
            "a static student: no attention",
            {**head, "parent": TEACHER, **static(facts)},
            static_s(facts, static_epochs(facts, taught=True), taught=True),
            _STATIC_BYTES["fp32"],
        )
        yield _int8(facts, head, limits, None)


def _students(facts: Facts, head: Mapping[str, Any], limits: Limits) -> Iterator[Step]:
    for shape in by_nearness(facts, limits.max_bytes):
        content = distilled(facts, shape, limits.max_drop)
        yield Step(
            f"{shape.name}-fp32",
            _described(shape, facts),
            {**head, "parent": TEACHER, **content},
            distill_s(facts, shape, content["distill"]),
            size_bytes(facts.model, shape, "fp32"),
        )
        yield _int8(facts, head, limits, shape)


def _int8(facts: Facts, head: Mapping[str, Any], limits: Limits, shape: Shape | None) -> Step:
    name = shape.name if shape else "static"
    return Step(
        f"{name}-int8",
        f"{name}-fp32 as int8-dynamic",
        {**head, "parent": f"{name}-fp32", **quantized(facts, "int8-dynamic", limits.max_drop)},
        quantize_s(facts, shape) if shape else _STATIC_FORMAT_S,
        size_bytes(facts.model, shape, "int8") if shape else _STATIC_BYTES["int8"],
    )


def by_nearness(facts: Facts, max_bytes: int | None) -> list[Shape]:
    """Sort the students: those whose int8 form is nearest in size to what is wanted come first.

    Without a limit that is a quarter of the teacher's. Those above the limit come last.
    """
    typical = _TYPICAL_SHARE * size_bytes(facts.model, None, "int8")
    wanted = max_bytes or typical

    def distance(shape: Shape) -> tuple[bool, float]:
        size = size_bytes(facts.model, shape, "int8")
        return max_bytes is not None and size > max_bytes, abs(math.log(size / wanted))

    return sorted(shapes(facts.model), key=distance)


def _static_alone(facts: Facts, head: Mapping[str, Any], limits: Limits) -> Iterator[Step]:
    """A static classifier with a vocabulary of its own, learnt from the labelled texts."""
    yield Step(
        "static-fp32",
        "a static classifier with a vocabulary learnt from the texts",
        {**head, **static_root(facts)},
        static_s(facts, static_epochs(facts, taught=False), taught=False),
        _STATIC_BYTES["fp32"],
    )
    yield _int8(facts, head, limits, None)


def _described(shape: Shape, facts: Facts) -> str:
    parts = [f"{len(shape.layers)} of the teacher's {facts.model.layers} layers"]
    if shape.width:
        parts.append(f"{shape.width} instead of {facts.model.width} wide")
    if shape.words:
        parts.append(f"at most {shape.words:,} of {facts.model.words:,} words")
    return ", ".join(parts)
