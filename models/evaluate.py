"""Scores a bundle on held-out splits, the way that serving would answer.

It does not know how the bundle was made.
"""

import json

import numpy as np

from models.answers import probabilities
from models.data import LABELS, Split, read_split, split_path
from models.intervals import (
    Labels,
    bootstrapped,
    expected_calibration_error,
    macro_f1,
    proportion,
)
from models.workshop import Job
from serving.bundle import Bundle, Evaluation, file_sha256, read_bundle

_SPLITS: tuple[Split, ...] = ("validation", "test")
_PADDED_BATCH_TEXTS = 16


def run(job: Job) -> None:
    """Write `evaluations.json`, split -> Evaluation, and `answers.json`, split -> label indices.

    Agreement is with the teacher's answers; the teacher itself has none.
    """
    bundle = read_bundle(job.inputs["bundle"])
    teacher = job.inputs.get("teacher_answers")
    taught = json.loads((teacher / "answers.json").read_text()) if teacher else {}
    evaluations, answers = {}, {}
    for split in _SPLITS:
        texts = read_split(job.inputs["data"], split)
        evaluation, labels = evaluated(
            bundle,
            [row.text for row in texts],
            np.array([row.label for row in texts]),
            np.array(taught[split]) if teacher else None,
            file_sha256(split_path(job.inputs["data"], split)),
        )
        evaluations[split] = evaluation.model_dump()
        answers[split] = labels.tolist()
        accuracy = evaluation.accuracy
        print(f"{split}: accuracy {accuracy.value:.4f} [{accuracy.low:.4f}, {accuracy.high:.4f}]")
    (job.output / "evaluations.json").write_text(json.dumps(evaluations, indent=2))
    (job.output / "answers.json").write_text(json.dumps(answers))


def evaluated(
    bundle: Bundle, texts: list[str], truth: Labels, taught: Labels | None, split_sha256: str
) -> tuple[Evaluation, Labels]:
    """What the bundle scores on `texts`, and the index of its label for each.

    Every text is a batch of its own; `batch_flips` is the share of labels that change when 16
    neighbours share a padded batch.
    """
    alone = probabilities(bundle, texts)
    together = probabilities(bundle, texts, _PADDED_BATCH_TEXTS)
    answers = alone.argmax(axis=1)
    evaluation = Evaluation(
        split_sha256=split_sha256,
        n=len(texts),
        accuracy=proportion(answers == truth),
        macro_f1=bootstrapped(lambda at: macro_f1(truth[at], answers[at], len(LABELS)), len(texts)),
        expected_calibration_error=bootstrapped(
            lambda at: expected_calibration_error(truth[at], alone[at]), len(texts)
        ),
        agreement=None if taught is None else proportion(answers == taught),
        batch_flips=proportion(answers != together.argmax(axis=1)),
    )
    return evaluation, answers
