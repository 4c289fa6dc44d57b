"""Read a pretrained classifier folder: its labels, its length limit, its tokenizer."""

from pathlib import Path

from transformers import AutoConfig, PretrainedConfig

from models.data.sources import Place
from models.recipe import RecipeError
from models.training.position_limit import longest_input
from serving.bundles.bundle import TOKENIZER_NAME

_KIND = "ForSequenceClassification"


def labels_of(found: Place) -> tuple[str, ...]:
    """The labels of a fine-tuned model, in the order of its logits.

    Raises RecipeError when the folder is no sequence classifier.
    """
    config = config_of(found)
    kinds = config.architectures or ["nothing that it names"]
    if not any(kind.endswith(_KIND) for kind in kinds):
        raise RecipeError(
            f"{found} is {', '.join(kinds)}, no {_KIND}: fine-tune it first, with `base` in "
            "[train] instead of [adopt]"
        )
    names = {int(index): name for index, name in (config.id2label or {}).items()}
    return tuple(names[index] for index in sorted(names))


def check_length(config: PretrainedConfig, max_length: int, found: Place) -> None:
    """Raise RecipeError when the model has no position for the last of `max_length` tokens."""
    longest = longest_input(config.to_dict())
    if max_length > longest:
        raise RecipeError(
            f"max_length {max_length} is more than the {longest} tokens that {found} can read: "
            "make it smaller"
        )


def copy_tokenizer(found: Place, folder: Path) -> None:
    """Copy the tokenizer.json of a folder or of the hub. Raises RecipeError without one."""
    try:
        if found.path:
            path = found.path / TOKENIZER_NAME
        else:
            from huggingface_hub import hf_hub_download  # noqa: PLC0415 (only for the hub)

            path = Path(hf_hub_download(found.name, TOKENIZER_NAME))
        (folder / TOKENIZER_NAME).write_bytes(path.read_bytes())
    except OSError as error:
        raise RecipeError(
            f"{found} has no {TOKENIZER_NAME}: write it with "
            "`AutoTokenizer.from_pretrained(FOLDER).save_pretrained(FOLDER)`"
        ) from error


def config_of(found: Place) -> PretrainedConfig:
    """The model's configuration. Raises RecipeError where transformers finds none."""
    try:
        config: PretrainedConfig = AutoConfig.from_pretrained(found.name)
    except (OSError, ValueError) as error:
        raise RecipeError(f"{found} is no model that transformers can load: {error}") from error
    return config
