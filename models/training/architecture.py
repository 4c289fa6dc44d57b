"""Model surgery: which axis of a weight is words, heads, units or width, and slices of these.

The axis "heads" has `head_size` rows a head, "shared_heads" one row a head of every layer.
"""

import copy
import re
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Literal

import torch
from safetensors.torch import load_file
from transformers import (
    AutoConfig,
    AutoModelForSequenceClassification,
    PretrainedConfig,
    PreTrainedModel,
)

from models.recipe import RecipeError

Axis = Literal["words", "positions", "width", "heads", "shared_heads", "units"]
AxisValues = dict[tuple[Axis, int | None], torch.Tensor]
"""A tensor for each (axis, layer); the layer is None for words, positions and width."""

WEIGHTS_NAME = "model.safetensors"
KNOWN = ("bert", "camembert", "distilbert", "electra", "mpnet", "roberta", "xlm-roberta")
_SHARING = ("mpnet",)
_LAYER = re.compile(r"\.(?:layers?|h)\.(\d+)\.")
_AXES: tuple[tuple[str, tuple[Axis | None, Axis | None]], ...] = (
    (r"\b(query|key|value|q_lin|k_lin|v_lin)\.|\battn\.[qkv]\.", ("heads", "width")),
    (r"\battention\.(output\.dense|out_lin|attn\.o)\.", ("width", "heads")),
    (r"\brelative_attention_bias\.", (None, "shared_heads")),
    (r"\b(intermediate\.dense|ffn\.lin1)\.", ("units", "width")),
    (r"\b\d+\.output\.dense\.|\bffn\.lin2\.", ("width", "units")),
    (r"\bword_embeddings\.", ("words", "width")),
    (r"\bposition_embeddings\.", ("positions", "width")),
    (r"\btoken_type_embeddings\.", (None, "width")),
    (r"(^classifier|\bout_proj)\.(weight|bias)$", (None, "width")),
    (r"\bembeddings_project\.", ("width", None)),
)


def axes(name: str, config: PretrainedConfig) -> tuple[Axis | None, ...]:
    """Return what each axis of the weight or bias `name` stands for; None for none of Axis."""
    found: tuple[Axis | None, Axis | None] = next(
        (where for pattern, where in _AXES if re.search(pattern, name)), ("width", "width")
    )
    vector = name.endswith("bias") or "LayerNorm" in name or "layer_norm" in name
    if ".embeddings." in name and embedding_width(config) != config.hidden_size:
        found = (found[0] if "_embeddings." in name else None, None)
    return found[:1] if vector else found


def layer_of(name: str) -> int | None:
    """Return the layer that a weight belongs to; None outside the layers."""
    found = _LAYER.search(name)
    return int(found[1]) if found else None


def teacher_name(name: str, layers: Sequence[int]) -> str:
    """Return what a student's module or weight is called in the teacher it was cut from.

    Student layer i was the teacher's `layers[i]`.
    """
    own = layer_of(name)
    return name if own is None else _LAYER.sub(_renumbered(layers[own]), name, count=1)


def check_known(config: PretrainedConfig, key: str) -> None:
    """Raise RecipeError when the axes of this architecture's weights are not known."""
    if config.model_type not in KNOWN:
        raise RecipeError(
            f"{key}: {config.model_type} is not supported: remove it or use a teacher of one of "
            f"{', '.join(KNOWN)}"
        )


def check_cuttable(model: PreTrainedModel, kept: int = 1) -> None:
    """Raise RecipeError unless all layers are kept, or one can be cut out and has its states."""
    if model.config.model_type in KNOWN or kept == model.config.num_hidden_layers:
        return
    last = model.config.num_hidden_layers - 1
    try:
        student = sliced(model, resized(model.config, layers=1), (last,), {})
        with tempfile.TemporaryDirectory() as folder, torch.no_grad():
            student.config.save_pretrained(folder)
            output = student(**student.dummy_inputs, output_hidden_states=True)
            _before, _after = output.hidden_states
    except Exception as error:  # of a model of another form, many types
        raise _uncuttable(model.config) from error


def has_words(model: PreTrainedModel) -> bool:
    """Whether it is known which weights are the words'."""
    return any("words" in axes(name, model.config) for name, _ in model.named_parameters())


def _uncuttable(config: PretrainedConfig) -> RecipeError:
    return RecipeError(
        f"layers: those of {config.model_type} cannot be cut: use a model of another architecture, "
        f"such as {', '.join(KNOWN)}"
    )


def head_size(config: PretrainedConfig) -> int:
    """Return the width of one attention head."""
    return int(config.hidden_size // config.num_attention_heads)


def kept_heads(config: PretrainedConfig) -> int:
    """Return the number of attention heads that each layer has left."""
    return int(getattr(config, "kept_heads", config.num_attention_heads))


def text_config(config: PretrainedConfig) -> PretrainedConfig:
    """Return what describes the words of a model, which may have other parts, such as images."""
    if hasattr(config, "vocab_size"):
        return config
    part: PretrainedConfig = config.get_text_config()
    return part


def embedding_width(config: PretrainedConfig) -> int:
    """Return the width of the embeddings, from which ELECTRA's small ones are projected."""
    return int(getattr(config, "embedding_size", config.hidden_size))


def intermediate_size(config: PretrainedConfig) -> int:
    """Return the number of feed-forward units of a layer."""
    return int(getattr(config, _intermediate_key(config)))


def resized(
    config: PretrainedConfig,
    *,
    layers: int | None = None,
    width: int | None = None,
    heads: int | None = None,
    intermediate: int | None = None,
    words: int | None = None,
    positions: int | None = None,
) -> PretrainedConfig:
    """Copy the config with other sizes; a size that is None and the head size stay."""
    result = copy.deepcopy(config)
    if width is not None and width != config.hidden_size:
        if embedding_width(config) == config.hidden_size and hasattr(config, "embedding_size"):
            result.embedding_size = width
        result.hidden_size = width
        result.num_attention_heads = width // head_size(config)
    values: dict[str, Any] = {
        "num_hidden_layers": layers,
        "kept_heads": heads,
        _intermediate_key(config): intermediate,
        "vocab_size": words,
        "max_position_embeddings": positions,
    }
    for key, value in values.items():
        if value is not None:
            setattr(result, key, value)
    return result


def empty_classifier(config: PretrainedConfig, **options: Any) -> PreTrainedModel:
    """Create an untrained classifier of the config's sizes, `kept_heads` heads a layer, in fp32."""
    model: PreTrainedModel = AutoModelForSequenceClassification.from_config(  # type: ignore[no-untyped-call]
        config, dtype=torch.float32, **options
    )
    if kept_heads(config) != config.num_attention_heads:
        size = kept_heads(config) * head_size(config)
        for name, module in list(model.named_modules()):
            where = axes(f"{name}.weight", config)
            if hasattr(module, "all_head_size"):
                module.all_head_size = size
            if isinstance(module, torch.nn.Embedding) and "shared_heads" in where:
                narrow = torch.nn.Embedding(module.num_embeddings, kept_heads(config))
                model.set_submodule(name, narrow)
            if isinstance(module, torch.nn.Linear) and "heads" in where:
                rows, columns = module.out_features, module.in_features
                sides = (columns, size) if where[0] == "heads" else (size, rows)
                model.set_submodule(name, torch.nn.Linear(*sides))
    return model


def load_classifier(folder: Path, **options: Any) -> PreTrainedModel:
    """Load a folder of weights in fp32, with pruned heads or without, ready for inference."""
    config = AutoConfig.from_pretrained(folder)
    config.chunk_size_feed_forward = 0  # chunks give the same answers, but hide what is read
    if hasattr(config, "kept_heads"):
        model = empty_classifier(config, **options)
        model.load_state_dict(load_file(folder / WEIGHTS_NAME))
    else:
        model = AutoModelForSequenceClassification.from_pretrained(
            folder, config=config, dtype=torch.float32, **options
        )
    model.train(mode=False)
    return model


def sliced(
    model: PreTrainedModel, config: PretrainedConfig, layers: tuple[int, ...], kept: AxisValues
) -> PreTrainedModel:
    """Create a classifier of `config`'s sizes from the weights of `model`.

    It has the given layers, and along each axis in `kept` the given indices; an axis that `kept`
    does not have stays whole. Layers are numbered as in `model`. Raises RecipeError when `model`
    has no such layer, or it is not known which weights are a layer's or the words'.
    """
    source = model.state_dict()
    if kinds := getattr(config, "layer_types", None):
        config = copy.deepcopy(config)
        config.layer_types = [kinds[layer] for layer in layers]
    student = empty_classifier(config)
    gone = {layer_of(name) for name in source.keys() - student.state_dict().keys()}
    if gone and gone != set(range(len(layers), model.config.num_hidden_layers)):
        raise _uncuttable(config)
    if ("words", None) in kept and not has_words(student):
        check_known(config, "vocabulary_words")
    weights = {}
    for name in student.state_dict():
        own = layer_of(name)
        layer = None if own is None else layers[own]
        old = teacher_name(name, layers)
        if old not in source:
            raise RecipeError(f"layers: the teacher has no {old}: list layers that it has")
        value = source[old]
        for number, axis in enumerate(axes(name, config)[: value.dim()]):
            per_layer = layer if axis in ("heads", "units") else None
            if axis and (axis, per_layer) in kept:
                value = value.index_select(number, kept[axis, per_layer])
        weights[name] = value
    student.load_state_dict(weights)
    return student


def importance(model: PreTrainedModel, losses: Iterable[torch.Tensor]) -> AxisValues:
    """Estimate how much the loss depends on each head, feed-forward unit and hidden dimension.

    It is the first-order Taylor criterion for groups of weights (Molchanov et al. 2019; for heads
    Michel et al. 2019): the square of the sum of weight times gradient, summed over `losses`.
    """
    scores: AxisValues = {}
    for loss in losses:
        model.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        change: AxisValues = {}
        for name, weight in model.named_parameters():
            assert weight.grad is not None, f"this is a bug: the loss does not depend on {name}"
            product = (weight * weight.grad).detach()
            for number, axis in enumerate(axes(name, model.config)):
                if axis in ("width", "heads", "units"):
                    key: tuple[Axis, int | None] = (
                        (axis, None) if axis == "width" else (axis, layer_of(name))
                    )
                    others = [n for n in range(product.dim()) if n != number]
                    part = product.sum(others) if others else product
                    change[key] = change.get(key, torch.zeros_like(part)) + part
        for key, value in change.items():
            total = value.view(-1, head_size(model.config)).sum(1) if key[0] == "heads" else value
            scores[key] = scores.get(key, torch.zeros_like(total)) + total**2
    model.zero_grad()
    return scores


def most_important(scores: torch.Tensor, count: int) -> torch.Tensor:
    """Return the indices of the `count` largest scores, ascending."""
    return scores.topk(count).indices.sort().values


def most_important_in_layers(
    scores: AxisValues, config: PretrainedConfig, layers: Sequence[int], heads: int, units: int
) -> AxisValues:
    """Return the most important heads and units of each layer, as `sliced` keeps them.

    Where layers share what belongs to a head, all keep the same heads.
    """
    size = head_size(config)
    kept: AxisValues = {}
    together = None
    if config.model_type in _SHARING:
        summed = torch.stack([scores["heads", layer] for layer in layers]).sum(0)
        together = kept["shared_heads", None] = most_important(summed, heads)
    for layer in layers:
        best = most_important(scores["heads", layer], heads) if together is None else together
        # The rows of the query, key and value matrices that belong to these heads.
        kept["heads", layer] = (best[:, None] * size + torch.arange(size)).flatten()
        kept["units", layer] = most_important(scores["units", layer], units)
    return kept


def _renumbered(layer: int) -> Any:
    return lambda found: found[0].replace(found[1], str(layer))


def _intermediate_key(config: PretrainedConfig) -> str:
    return "hidden_dim" if config.model_type == "distilbert" else "intermediate_size"
