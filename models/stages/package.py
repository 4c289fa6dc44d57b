"""The stage `package`: adds scores, recipe, build times and model card to a bundle."""

import shutil

from models.evaluation.results import read_results
from models.job import Job
from models.recipe import RecipeError
from models.reports.model_card import card
from serving.bundles.bundle import CARD_NAME, JUDGED_SPLIT, read_bundle, write_manifest


def run(job: Job) -> None:
    """Write the finished bundle, ready to be published into a registry.

    Raises RecipeError when the variant is less accurate than the recipe's `min_accuracy`.
    """
    made = read_bundle(job.inputs["bundle"])
    results = read_results(job.inputs["evaluation"])
    floor = job.recipe.evaluate
    accuracy = results.evaluations[JUDGED_SPLIT].accuracy.value
    if floor and accuracy < floor.min_accuracy:
        raise RecipeError(
            f"{job.recipe.variant}: accuracy {accuracy:.4f} on the {JUDGED_SPLIT} split is "
            f"{floor.min_accuracy - accuracy:.4f} below min_accuracy {floor.min_accuracy}, so the "
            "variant is not published: train longer, make it larger or lower min_accuracy"
        )
    for name in made.manifest.files:
        shutil.copyfile(made.folder / name, job.output / name)
    fields = made.manifest.model_dump(exclude={"version", "bytes", "files"}) | {
        "recipe": job.recipe.model_dump(mode="json", exclude_none=True),
        "evaluations": results.evaluations,
        "temperature": results.temperature,
        "build_seconds": job.seconds,
    }
    manifest = write_manifest(job.output, **fields)
    adopted = job.root.adopt is not None
    (job.output / CARD_NAME).write_text(card(manifest, adopted=adopted), encoding="utf-8")
    # Again, because the card is one of the manifest's files.
    write_manifest(job.output, **fields)
