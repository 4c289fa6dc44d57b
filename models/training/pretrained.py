"""Pretrained models: what they declare (labels, longest input, kind of problem), and a loader."""

import codecs

import torch
from transformers import (
    AutoConfig,
    AutoModelForSequenceClassification,
    PretrainedConfig,
    PreTrainedModel,
)

from models.data.labelled import LabelSet
from models.data.sources import Source
from models.library_errors import first_line
from models.recipe import RecipeError
from models.recipe_sections import ProblemType
from serving.bundles.bundle import CONFIG_NAME
from serving.bundles.hugging_face import check_padding
from serving.bundles.position_limit import longest_input
from serving.errors import BundleError

_KIND = "ForSequenceClassification"


def is_classifier(config: PretrainedConfig) -> bool:
    """Whether a model has a head that labels texts."""
    return any(kind.endswith(_KIND) for kind in config.architectures or ())


def labels_of(found: Source) -> tuple[str, ...]:
    """Return the labels of a fine-tuned model, in the order of its logits.

    Raises RecipeError when the model is not a sequence classifier.
    """
    config = config_of(found)
    kinds = config.architectures or ["a model of no named architecture"]
    if not is_classifier(config):
        raise RecipeError(
            f"{found} is {', '.join(kinds)}, not {_KIND}: fine-tune it first, with `base` in "
            "[train] instead of [adopt]"
        )
    names = {int(index): name for index, name in (config.id2label or {}).items()}
    return tuple(names[index] for index in sorted(names))


def base_classifier(base: Source, labels: LabelSet) -> tuple[PreTrainedModel, set[str]]:
    """Load a base model in fp32 with a new head; also return which weights it has none for.

    Raises RecipeError when transformers cannot load it.
    """
    try:
        model, loading = AutoModelForSequenceClassification.from_pretrained(
            base.name,
            dtype=torch.float32,
            output_loading_info=True,
            id2label=dict(enumerate(labels.names)),
            label2id={name: index for index, name in enumerate(labels.names)},
            problem_type=f"{labels.problem_type}_classification",
            ignore_mismatched_sizes=True,  # the base may have a head for other labels
        )
    except (OSError, ValueError) as error:
        raise RecipeError(
            f"{base} is not a base model that transformers can load: {first_line(error)}"
        ) from error
    return model, {*loading["missing_keys"], *(key for key, *_ in loading["mismatched_keys"])}


def check_length(config: PretrainedConfig, max_length: int, found: Source) -> None:
    """Raise RecipeError when the model cannot read `max_length` tokens."""
    longest = longest_input(config.to_dict())
    if max_length > longest:
        raise RecipeError(
            f"max_length {max_length} is more than the {longest} tokens that {found} can read: "
            "make max_length smaller"
        )


def check_side(config: PretrainedConfig, found: Source) -> None:
    """Raise RecipeError when the model must be padded on the left."""
    try:
        check_padding(config.model_type, found)
    except BundleError as error:
        raise RecipeError(error.detail) from error


def adopted_config(found: Source, max_length: int, problem_type: ProblemType) -> PretrainedConfig:
    """Return the configuration of a classifier to adopt.

    Raises RecipeError when it cannot read `max_length` tokens, must be padded on the left, or is
    for another kind of problem than the data's.
    """
    config = config_of(found)
    check_side(config, found)
    if config.problem_type == "regression":
        raise RecipeError(
            f"{found} is a regression model, whose answer is a value and not a label: it cannot be "
            "adopted; export it to ONNX and use `python -m models import`"
        )
    if config.num_labels == 1 and problem_type == "single_label":
        raise RecipeError(
            f"{found} has one label, so its answer is yes or no: set "
            '`problem_type = "multi_label"` in [data] and write the label, or an empty list, in '
            "each row"
        )
    if config.problem_type not in (None, f"{problem_type}_classification"):
        raise RecipeError(
            f"{found} is for {config.problem_type}, the data for {problem_type}: "
            "set `problem_type` in [data]"
        )
    check_length(config, max_length, found)
    return config


def adopted_classifier(found: Source, problem_type: ProblemType) -> PreTrainedModel:
    """Load a classifier to adopt, in fp32.

    Raises RecipeError if transformers cannot, or it is untrained.
    """
    try:
        model, loading = AutoModelForSequenceClassification.from_pretrained(
            found.name,
            dtype=torch.float32,
            output_loading_info=True,
            problem_type=f"{problem_type}_classification",
        )
    except Exception as error:  # transformers and torch raise many types
        raise RecipeError(
            f"transformers cannot load the weights of {found}: {first_line(error)}: save the model "
            "again with `save_pretrained`"
        ) from error
    if loading["missing_keys"]:
        raise RecipeError(
            f"{found} has no trained {min(loading['missing_keys'])}: fine-tune it first, with "
            "`base` in [train] instead of [adopt]"
        )
    return model  # type: ignore[no-any-return]


def config_of(found: Source) -> PretrainedConfig:
    """Return the model's configuration. Raises RecipeError if transformers finds none."""
    try:
        config: PretrainedConfig = AutoConfig.from_pretrained(found.name)
    except Exception as error:  # of a configuration of another form, many types
        raise RecipeError(
            f"{found} is not a model that transformers can load: {first_line(error)}"
            f"{_byte_order_mark(found)}"
        ) from error
    return config


def _byte_order_mark(found: Source) -> str:
    path = found.path and found.path / CONFIG_NAME
    if not path or not path.is_file() or not path.read_bytes().startswith(codecs.BOM_UTF8):
        return ""
    return f" ({CONFIG_NAME} begins with a byte order mark: save it as UTF-8 without)"
