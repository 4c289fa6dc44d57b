"""The stage `adopt`: uses a fine-tuned `*ForSequenceClassification` model as the teacher."""

from models.data.labelled import read_labels
from models.data.sources import resolve
from models.job import Job
from models.training.normalization import normalize
from models.training.pretrained import adopted_classifier, adopted_config, labels_of
from models.training.tokenizer_file import check_tokenizer, copy_tokenizer
from serving.bundles.bundle import TOKENIZER_NAME


def run(job: Job) -> None:
    """Write the model as a Hugging Face folder with safetensors and tokenizer.json.

    Raises RecipeError when it is not a trained classifier of the data's labels.
    """
    section = job.recipe.adopt
    assert section is not None
    found = resolve(section.folder, job.recipe, job.inputs["downloads"])
    labels = read_labels(job.inputs["data"])
    assert labels_of(found) == labels.names, (
        "this is a bug: the stage data uses the model's label order"
    )
    config = adopted_config(found, section.max_length, labels.problem_type)
    copy_tokenizer(found, job.output, section.max_length)
    normalize(job.output / TOKENIZER_NAME, section.normalize)
    check_tokenizer(job.output / TOKENIZER_NAME, config, section.max_length, found)
    model = adopted_classifier(found, labels.problem_type)
    model.save_pretrained(job.output)
    print(f"adopted {type(model).__name__} with the labels {', '.join(labels.names)}")
