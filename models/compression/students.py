"""Which smaller students a model may have, and what they weigh and cost beside it. Pure."""

from dataclasses import dataclass, replace

from models.compression.facts import ModelFacts

_QUARTER_WIDTH = 384
_TINY_WIDTH = 256
_TINY_UNITS_PER_WIDTH = 1.5
_WORDS = {"half": 16_000, "quarter": 8_000, "tiny": 5_000}
_TOKENIZER_BYTES_PER_WORD = 25
_BYTES_PER_WEIGHT = {"fp32": 4.0, "int8": 1.0, "int4": 0.6, "fp16": 2.0}
# Heads, pooling, losses and the embeddings' updates do not shrink with the layers.
_FIXED_SHARE = 0.15


@dataclass(frozen=True)
class Shape:
    """A student: the layers it takes, and where it is narrower than its teacher.

    `words` is the size of its vocabulary; each of the last three is None if it is the teacher's.
    """

    name: str
    layers: tuple[int, ...]
    width: int | None = None
    intermediate: int | None = None
    words: int | None = None


def shapes(model: ModelFacts) -> list[Shape]:
    """Return the students to consider, the largest first; none of layers that cannot be cut.

    Half of the layers; a quarter of them, not wider than 384; the same at up to two thirds of the
    width with few units. These are the shapes that kept most accuracy in models/recipes/.
    """
    if not model.is_cuttable:
        return []
    half = Shape("half", spaced(model.layers, -(-model.layers // 2)))
    quarter = Shape("quarter", spaced(model.layers, max(1, round(model.layers / 4 + 0.1))))
    tiny = replace(quarter, name="tiny")
    if model.is_narrowable:
        if width := _narrower(_QUARTER_WIDTH, model):
            units = model.intermediate * width // model.width
            quarter = replace(quarter, width=width, intermediate=units)
        width = _narrower(min(_TINY_WIDTH, model.width * 2 // 3), model)
        units = min(model.intermediate, int(_TINY_UNITS_PER_WIDTH * (width or model.width)))
        tiny = replace(tiny, width=width, intermediate=units)
    found: list[Shape] = []
    for each in (half, quarter, tiny):
        words = _WORDS[each.name] if model.is_trimmable else model.words
        fitted = replace(each, words=words if words < model.words else None)
        body = replace(fitted, name="")
        is_new = all(replace(other, name="") != body for other in found)
        if is_new and parameters(model, fitted) < 0.9 * model.parameters:
            found.append(fitted)
    return found


def _narrower(most: int, model: ModelFacts) -> int | None:
    """The width of as many whole heads as fit into `most`; None if that is the model's.

    It is a head more where the model projects embeddings of that width: see
    stages.distill.check_sizes.
    """
    head = model.width // model.heads
    width = max(head, min(most, model.width) // head * head)
    if width == model.embedding_width < model.width:
        width += head
    return width if width < model.width else None


def spaced(layers: int, kept: int) -> tuple[int, ...]:
    """Return `kept` of a model's layers, evenly spaced, the last one among them."""
    return tuple(-(-(number + 1) * layers // kept) - 1 for number in range(kept))


def parameters(model: ModelFacts, shape: Shape | None) -> int:
    """Estimate the parameters of a student; of the whole model without a shape."""
    if shape is None:
        return model.parameters
    width = shape.width or model.width
    own = _layers(model, shape) + (shape.words or model.words) * width
    whole = _layers(model, None) + model.words * model.width
    rest = max(0, model.parameters - whole)  # positions, pooler and head
    return own + rest * width // model.width


def size_bytes(model: ModelFacts, shape: Shape | None, precision: str) -> int:
    """Estimate the bytes of a bundle, its tokenizer included."""
    words = (shape.words if shape else None) or model.words
    weights = parameters(model, shape) * _BYTES_PER_WEIGHT[precision]
    return int(weights + words * _TOKENIZER_BYTES_PER_WORD)


def cost_share(model: ModelFacts, shape: Shape) -> float:
    """Estimate a student's cost a text beside the whole model's."""
    return _FIXED_SHARE + (1 - _FIXED_SHARE) * _layers(model, shape) / _layers(model, None)


def _layers(model: ModelFacts, shape: Shape | None) -> int:
    """The weights of the layers, to which their products are proportional."""
    width = (shape.width if shape else None) or model.width
    units = (shape.intermediate if shape else None) or model.intermediate
    layers = len(shape.layers) if shape else model.layers
    return layers * (4 * width * width + 2 * width * units)
