"""The stage `adopt`: uses a fine-tuned `*ForSequenceClassification` model as the teacher."""

from transformers import AutoModelForSequenceClassification

from models.data.labelled import read_labels
from models.data.sources import resolve
from models.job import Job
from models.recipe import RecipeError
from models.training.pretrained import check_length, config_of, copy_tokenizer, labels_of


def run(job: Job) -> None:
    """Write the model as a Hugging Face folder with safetensors and tokenizer.json.

    Raises RecipeError when it is not a trained classifier of the data's labels.
    """
    section = job.recipe.adopt
    assert section is not None
    found = resolve(section.folder, job.recipe, job.inputs["downloads"])
    config = config_of(found)
    labels = read_labels(job.inputs["data"])
    assert labels_of(found) == labels.names, (
        "this is a bug: the stage data uses the model's label order"
    )
    if config.problem_type == "regression" or (
        config.problem_type is not None
        and config.problem_type != f"{labels.problem_type}_classification"
    ):
        raise RecipeError(
            f"{found} is for {config.problem_type}, the data for {labels.problem_type}: "
            "set `problem_type` in [data]"
        )
    check_length(config, section.max_length, found)
    copy_tokenizer(found, job.output)
    model, loading = AutoModelForSequenceClassification.from_pretrained(
        found.name, output_loading_info=True, problem_type=f"{labels.problem_type}_classification"
    )
    if loading["missing_keys"]:
        raise RecipeError(
            f"{found} has no trained {min(loading['missing_keys'])}: fine-tune it first, with "
            "`base` in [train] instead of [adopt]"
        )
    model.save_pretrained(job.output)
    print(f"adopted {type(model).__name__} with the labels {', '.join(labels.names)}")
