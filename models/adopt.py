"""Takes a fine-tuned `*ForSequenceClassification` folder as the teacher, as it is.

It does not know how the model was trained, nor what will be made from it.
"""

from pathlib import Path

from transformers import AutoConfig, AutoModelForSequenceClassification, PretrainedConfig

from models.data import read_labels
from models.importing import longest_input
from models.locations import Place, place
from models.recipe import RecipeError
from models.workshop import Job
from serving.bundle import TOKENIZER_NAME

_KIND = "ForSequenceClassification"


def run(job: Job) -> None:
    """Write the model as a Hugging Face folder with safetensors and tokenizer.json.

    Raises RecipeError when it is no trained classifier of the data's labels.
    """
    section = job.recipe.adopt
    assert section is not None
    found = place(section.folder, job.recipe, job.inputs["sources"])
    config = _config(found)
    labels = read_labels(job.inputs["data"])
    assert labels_of(found) == labels.names, "this is a bug: data.py orders the labels as these"
    if config.problem_type == "regression" or (
        config.problem_type is not None
        and config.problem_type != f"{labels.problem_type}_classification"
    ):
        raise RecipeError(
            f"{found} answers {config.problem_type}, the data is {labels.problem_type}: "
            "set `problem_type` in [data]"
        )
    check_length(config, section.max_length, found)
    copy_tokenizer(found, job.output)
    model, report = AutoModelForSequenceClassification.from_pretrained(
        found.name, output_loading_info=True, problem_type=f"{labels.problem_type}_classification"
    )
    if report["missing_keys"]:
        raise RecipeError(
            f"{found} has no trained {min(report['missing_keys'])}: fine-tune it first, with "
            "`base` in [train] instead of [adopt]"
        )
    model.save_pretrained(job.output)
    print(f"Adopted {type(model).__name__} with the labels {', '.join(labels.names)}")


def labels_of(found: Place) -> tuple[str, ...]:
    """The labels of a fine-tuned model, in the order of its logits.

    Raises RecipeError when the folder is no sequence classifier.
    """
    config = _config(found)
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


def _config(found: Place) -> PretrainedConfig:
    try:
        config: PretrainedConfig = AutoConfig.from_pretrained(found.name)
    except (OSError, ValueError) as error:
        raise RecipeError(f"{found} is no model that transformers can load: {error}") from error
    return config
