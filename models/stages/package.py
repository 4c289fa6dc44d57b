"""The stage `package`: adds scores, recipe, build times and model card to a bundle."""

import shutil

from models.evaluation.results import read_results
from models.group_report.gate import check_group_gap, of_test_split
from models.job import Job
from models.recipe import Recipe, RecipeError, Stage
from models.recipe_sections import EvaluateSection
from models.reports.model_card import card
from models.robustness.gate import check_stress_drop, of_altered_texts
from serving.bundles.bundle import CARD_NAME, JUDGED_SPLIT, Bundle, read_bundle, write_manifest
from serving.bundles.evaluation import Evaluation

_REMEDIES: dict[Stage, str] = {
    "train": (
        "train longer or with a higher learning rate, choose a base that knows the texts' words"
    ),
    "adopt": "adopt another classifier",
    "distill": "train longer or with a higher learning rate, make it larger",
    "static": "train longer or with a higher learning rate, make it larger",
    "prune": "prune less",
    "sparsify": "leave more weights",
    "quantize": "choose another scheme, lower max_accuracy_drop, make its parent better",
}


def run(job: Job) -> None:
    """Write the finished bundle, ready to be published into a registry.

    Raises RecipeError when the variant is less accurate than the recipe's `min_accuracy`, is no
    better than a baseline on the validation split, or fails a gate. An adopted classifier that is
    no better is the user's own: that is said of it and of its number formats.
    """
    made = read_bundle(job.inputs["bundle"])
    results = read_results(job.inputs["evaluation"])
    floor = job.recipe.evaluate or EvaluateSection()
    accuracy = results.evaluations[JUDGED_SPLIT].accuracy.value
    what = "agreement with the original" if results.agreement else "accuracy"
    if accuracy < floor.min_accuracy:
        raise RecipeError(
            f"{job.recipe.variant}: {what} {accuracy:.4f} on the {JUDGED_SPLIT} split is "
            f"{floor.min_accuracy - accuracy:.4f} below min_accuracy {floor.min_accuracy}, so the "
            f"variant is not published: {_remedy(job.recipe)}, or lower min_accuracy"
        )
    if not floor.allow_below_baseline:
        single = not made.manifest.multi_label
        faults = _faults(results.evaluations["validation"], what, single_label=single)
        _check_faults(job, faults)
    now = made.manifest.model_copy(update={"temperature": results.temperature})
    now = now.model_copy(update={"version": now.content_version()})
    groups = None
    if job.root.data and job.root.data.group_report and not results.agreement:
        groups = of_test_split(now, job.inputs["data"], job.inputs["evaluation"])
    if job.recipe.gates and job.recipe.gates.max_group_gap is not None:
        check_group_gap(job.recipe.variant, groups, job.recipe.gates.max_group_gap)
    robustness = None
    if job.recipe.gates and job.recipe.gates.max_stress_drop is not None:
        bundle = Bundle(made.folder, now)
        robustness = of_altered_texts(bundle, job.inputs["data"], job.checkpoint)
        check_stress_drop(job.recipe.variant, robustness, job.recipe.gates.max_stress_drop)
    for name in made.manifest.files:
        shutil.copyfile(made.folder / name, job.output / name)
    fields = made.manifest.model_dump(exclude={"version", "bytes", "files"}) | {
        "recipe": job.recipe.model_dump(mode="json", exclude_none=True),
        "evaluations": {} if results.agreement else results.evaluations,
        "agreement": results.agreement,
        "temperature": results.temperature,
        "group_report": groups,
        "robustness": robustness,
        "build_seconds": job.seconds,
    }
    manifest = write_manifest(job.output, **fields)
    adopted = job.root.adopt is not None
    (job.output / CARD_NAME).write_text(card(manifest, adopted=adopted), encoding="utf-8")
    # Again, because the card is one of the manifest's files.
    write_manifest(job.output, **fields)


def _faults(evaluation: Evaluation, what: str, *, single_label: bool) -> list[str]:
    """What is wrong unless it beats every baseline and answers more than one label."""
    accuracy = evaluation.accuracy.value
    answered = [name for name, each in evaluation.labels.items() if each.precision is not None]
    name = max(evaluation.baselines, key=lambda each: evaluation.baselines[each].value)
    best = evaluation.baselines[name].value
    faults = []
    if single_label and len(answered) == 1:
        faults.append(f"it answers {answered[0]!r} to every text")
    if accuracy <= best and accuracy < 1:
        faults.append(f"{what} {accuracy:.4f} is no better than {best:.4f} of the {name}")
    return faults


def _check_faults(job: Job, faults: list[str]) -> None:
    """Raise RecipeError if there are any, or say them of what was not trained here."""
    if not faults:
        return
    said = f"{job.recipe.variant}: on the validation split {' and '.join(faults)}"
    if job.root.adopt and all(each.quantize for each in job.lineage[1:]):
        print(f"{said}: published all the same, as the adopted classifier was not trained here")
        return
    raise RecipeError(
        f"{said}: {_remedy(job.recipe)}, or set `allow_below_baseline = true` in [evaluate]"
    )


def _remedy(recipe: Recipe) -> str:
    """What may make a variant better, by how it is made."""
    return _REMEDIES[recipe.weights_stage or "quantize"]
