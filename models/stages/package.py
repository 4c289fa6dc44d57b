"""The stage `package`: adds scores, recipe, build times and model card to a bundle."""

import shutil

from models.evaluation.results import read_results
from models.job import Job
from models.recipe import RecipeError
from models.recipe_sections import EvaluateSection
from models.reports.model_card import card
from serving.bundles.bundle import CARD_NAME, JUDGED_SPLIT, read_bundle, write_manifest
from serving.bundles.evaluation import Evaluation


def run(job: Job) -> None:
    """Write the finished bundle, ready to be published into a registry.

    Raises RecipeError when the variant is less accurate than the recipe's `min_accuracy`, or than
    always to answer the most frequent label.
    """
    made = read_bundle(job.inputs["bundle"])
    results = read_results(job.inputs["evaluation"])
    floor = job.recipe.evaluate or EvaluateSection()
    accuracy = results.evaluations[JUDGED_SPLIT].accuracy.value
    if accuracy < floor.min_accuracy:
        raise RecipeError(
            f"{job.recipe.variant}: accuracy {accuracy:.4f} on the {JUDGED_SPLIT} split is "
            f"{floor.min_accuracy - accuracy:.4f} below min_accuracy {floor.min_accuracy}, so the "
            "variant is not published: train longer, make it larger or lower min_accuracy"
        )
    if not (made.manifest.multi_label or floor.allow_below_majority):
        _check_against_majority(job.recipe.variant, results.evaluations["validation"])
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


def _check_against_majority(variant: str, evaluation: Evaluation) -> None:
    label, score = max(evaluation.labels.items(), key=lambda each: each[1].texts)
    share, accuracy = score.texts / evaluation.n, evaluation.accuracy.value
    if accuracy <= share:
        answered = [name for name, each in evaluation.labels.items() if each.precision is not None]
        only = f": it answers {answered[0]!r} to every text" if len(answered) == 1 else ""
        raise RecipeError(
            f"{variant}: accuracy {accuracy:.4f} on the validation split is no better than always "
            f"to answer {label!r}, {share:.4f}{only}: train longer or with a higher learning rate, "
            "choose a base that knows the texts' words, or set `allow_below_majority = true` in "
            "[evaluate]"
        )
