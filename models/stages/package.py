"""Finishes a bundle: what it scores and how it was made into its manifest, and its card.

It does not know where the registry is; the command puts the finished folder there.
"""

import json
import shutil

from models.pipeline import Job
from models.recipe import RecipeError
from models.reports.model_card import card
from models.stages.evaluate import EVALUATIONS_NAME
from serving.bundles.bundle import CARD_NAME, JUDGED_SPLIT, read_bundle, write_manifest
from serving.bundles.evaluation import Evaluation


def run(job: Job) -> None:
    """Write the bundle with evaluations, temperature, recipe, build times and card.

    Raises RecipeError when the variant is less accurate than the recipe's floor.
    """
    made = read_bundle(job.inputs["bundle"])
    scored = json.loads((job.inputs["evaluate"] / EVALUATIONS_NAME).read_text())
    evaluations = {split: Evaluation(**score) for split, score in scored["splits"].items()}
    floor = job.recipe.evaluate
    accuracy = evaluations[JUDGED_SPLIT].accuracy.value
    if floor and accuracy < floor.min_accuracy:
        raise RecipeError(
            f"{job.recipe.variant}: accuracy {accuracy:.4f} on the {JUDGED_SPLIT} split is "
            f"{floor.min_accuracy - accuracy:.4f} under min_accuracy {floor.min_accuracy}, so it "
            "is not published: train longer, make it larger or lower the floor"
        )
    for name in made.manifest.files:
        shutil.copyfile(made.folder / name, job.output / name)
    fields = made.manifest.model_dump(exclude={"version", "bytes", "files"}) | {
        "recipe": job.recipe.model_dump(mode="json", exclude_none=True),
        "evaluations": evaluations,
        "temperature": scored["temperature"],
        "build_seconds": job.seconds,
    }
    manifest = write_manifest(job.output, **fields)
    (job.output / CARD_NAME).write_text(card(manifest), encoding="utf-8")
    write_manifest(job.output, **fields)
