"""Reads what a pretrained model declares: its labels, its length limit and its tokenizer."""

from pathlib import Path

from transformers import AutoConfig, PretrainedConfig

from models.data.sources import Source
from models.recipe import RecipeError
from serving.bundles.bundle import TOKENIZER_NAME
from serving.bundles.position_limit import longest_input

_KIND = "ForSequenceClassification"


def labels_of(found: Source) -> tuple[str, ...]:
    """Return the labels of a fine-tuned model, in the order of its logits.

    Raises RecipeError when the model is not a sequence classifier.
    """
    config = config_of(found)
    kinds = config.architectures or ["a model of no named architecture"]
    if not any(kind.endswith(_KIND) for kind in kinds):
        raise RecipeError(
            f"{found} is {', '.join(kinds)}, not {_KIND}: fine-tune it first, with `base` in "
            "[train] instead of [adopt]"
        )
    names = {int(index): name for index, name in (config.id2label or {}).items()}
    return tuple(names[index] for index in sorted(names))


def check_length(config: PretrainedConfig, max_length: int, found: Source) -> None:
    """Raise RecipeError when the model cannot read `max_length` tokens."""
    longest = longest_input(config.to_dict())
    if max_length > longest:
        raise RecipeError(
            f"max_length {max_length} is more than the {longest} tokens that {found} can read: "
            "make max_length smaller"
        )


def copy_tokenizer(found: Source, folder: Path) -> None:
    """Copy the tokenizer.json of a folder or of the hub. Raises RecipeError if there is none."""
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


def config_of(found: Source) -> PretrainedConfig:
    """Return the model's configuration. Raises RecipeError if transformers finds none."""
    try:
        config: PretrainedConfig = AutoConfig.from_pretrained(found.name)
    except (OSError, ValueError) as error:
        raise RecipeError(f"{found} is not a model that transformers can load: {error}") from error
    return config
