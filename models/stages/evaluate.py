"""The stage `evaluate`: scores a bundle on held-out splits, run as serving would run it."""

from pathlib import Path

from models.data.labelled import (
    LabelSet,
    has_labels,
    label_matrix,
    read_labels,
    read_split,
    split_path,
)
from models.evaluation.figures import SplitPredictions, figures
from models.evaluation.inspection import read_baselines
from models.evaluation.predictions import Predictor, predicted
from models.evaluation.results import Results, read_predictions, read_results, write_results
from models.evaluation.statistics import Flags
from models.evaluation.temperature import fitted_temperature
from models.job import Job
from models.recipe_sections import Split
from serving.bundles.bundle import JUDGED_SPLIT, file_sha256, read_bundle
from serving.bundles.evaluation import Agreement, Evaluation

_SPLITS: tuple[Split, ...] = ("validation", "test")
_PADDED_BATCH_TEXTS = 16


def run(job: Job) -> None:
    """Write the bundle's temperature, its evaluations and its predictions.

    The temperature is fitted on the calibration split. Agreement is with the teacher; the paired
    tests are against the teacher and the parent. Where the truth is what the teacher answers, the
    temperature stays 1, since that says nothing about how sure an answer should be.
    """
    data = job.inputs["data"]
    labels = read_labels(data)
    predictor = Predictor(read_bundle(job.inputs["bundle"]))
    is_labelled = has_labels(data)
    what = "accuracy" if is_labelled else "agreement with the original"
    temperature = _temperature(predictor, data, labels) if is_labelled else 1.0
    print(f"temperature {temperature:.3f}")
    evaluations: dict[str, Evaluation] = {}
    predictions: dict[Split, Flags] = {}
    for split in _SPLITS:
        rows = read_split(data, split)
        texts = [row.text for row in rows]
        found = SplitPredictions(
            label_matrix(rows, labels),
            predictor.logits(texts),
            predicted(predictor.logits(texts, _PADDED_BATCH_TEXTS), labels.problem_type),
            predictor.lengths(texts).tolist(),
        )
        fields = figures(found, labels, temperature, _others(job, split, labels))
        evaluations[split] = Evaluation.model_validate(
            fields
            | {
                "baselines": read_baselines(job.inputs["inspection"], split),
                "split_sha256": file_sha256(split_path(data, split)),
                "texts_per_second": predictor.texts_per_second(texts),
            }
        )
        predictions[split] = predicted(found.logits, labels.problem_type)
        accuracy = evaluations[split].accuracy
        print(f"{split}: {what} {accuracy.value:.4f} [{accuracy.low:.4f}, {accuracy.high:.4f}]")
    agreement = None if is_labelled else _agreement(job, evaluations[JUDGED_SPLIT])
    write_results(job.output, Results(temperature, evaluations, agreement), predictions)


def _temperature(predictor: Predictor, data: Path, labels: LabelSet) -> float:
    rows = read_split(data, "calibration")
    logits = predictor.logits([row.text for row in rows])
    return fitted_temperature(logits, label_matrix(rows, labels), labels.problem_type)


def _agreement(job: Job, found: Evaluation) -> Agreement:
    """How often the bundle answers as the classifier that labelled the texts: the adopted one."""
    root = read_results(job.inputs["teacher_evaluation"]).agreement if job.recipe.parent else None
    return Agreement(
        family=job.root.family,
        variant=job.root.variant,
        version=root.version if root else read_bundle(job.inputs["bundle"]).manifest.version,
        texts_sha256=found.split_sha256,
        n=found.n,
        share=found.accuracy,
    )


def _others(job: Job, split: Split, labels: LabelSet) -> dict[str, Flags]:
    """The predictions of the teacher and of the parent, by variant."""
    inputs = {job.root.variant: "teacher_evaluation"}
    if len(job.lineage) > 1:
        inputs[job.lineage[-2].variant] = "parent_evaluation"
    return {
        variant: read_predictions(job.inputs[name], split, len(labels.names))
        for variant, name in inputs.items()
        if name in job.inputs
    }
