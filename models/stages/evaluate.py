"""Scores a bundle on held-out splits, the way that serving would answer.

It does not know how the bundle was made.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from models.data.labelled import LabelSet, flags, read_labels, read_split, split_path, targets
from models.evaluation.predictions import Answerer, predicted, probabilities
from models.evaluation.statistics import (
    Flags,
    Floats,
    bootstrapped,
    brier_scores,
    calibration_error,
    label_scores,
    log_losses,
    macro_f1,
    paired,
    proportion,
    right,
)
from models.evaluation.temperature import fitted_temperature
from models.pipeline import Job
from models.recipe_sections import Split
from serving.bundles.bundle import file_sha256, read_bundle
from serving.bundles.evaluation import Band, Evaluation

EVALUATIONS_NAME = "evaluations.json"
ANSWERS_NAME = "answers.json"
_SPLITS: tuple[Split, ...] = ("validation", "test")
_PADDED_BATCH_TEXTS = 16
_BANDS = 4


@dataclass(frozen=True)
class Answered:
    """A split's texts with their truth and a bundle's logits, each text in a batch of its own.

    `truth` and `logits` are of shape (texts, labels); `together` are the answers in padded batches.
    """

    texts: list[str]
    truth: Flags
    logits: Floats
    together: Flags
    lengths: Sequence[int]


def run(job: Job) -> None:
    """Write `evaluations.json`, {temperature, splits}, and `answers.json`, split -> label indices.

    The temperature is fitted on the calibration split. Agreement is with the teacher's answers;
    the paired tests are against the teacher and the parent.
    """
    labels = read_labels(job.inputs["data"])
    answerer = Answerer(read_bundle(job.inputs["bundle"]))
    rows = read_split(job.inputs["data"], "calibration")
    temperature = fitted_temperature(
        answerer.logits([row.text for row in rows]), targets(rows, labels), labels.problem_type
    )
    print(f"temperature {temperature:.3f}")
    evaluations, answers = {}, {}
    for split in _SPLITS:
        rows = read_split(job.inputs["data"], split)
        texts = [row.text for row in rows]
        answered = Answered(
            texts,
            targets(rows, labels),
            answerer.logits(texts),
            predicted(answerer.logits(texts, _PADDED_BATCH_TEXTS), labels.problem_type),
            answerer.lengths(texts).tolist(),
        )
        fields = figures(answered, labels, temperature, _others(job, split, labels))
        evaluation = Evaluation(
            split_sha256=file_sha256(split_path(job.inputs["data"], split)),
            texts_per_second=answerer.texts_per_second(texts),
            **fields,
        )
        evaluations[split] = evaluation.model_dump()
        answers[split] = [
            np.flatnonzero(row).tolist() for row in predicted(answered.logits, labels.problem_type)
        ]
        accuracy = evaluation.accuracy
        print(f"{split}: accuracy {accuracy.value:.4f} [{accuracy.low:.4f}, {accuracy.high:.4f}]")
    scored = {"temperature": temperature, "splits": evaluations}
    (job.output / EVALUATIONS_NAME).write_text(json.dumps(scored, indent=2))
    (job.output / ANSWERS_NAME).write_text(json.dumps(answers))


def figures(
    answered: Answered, labels: LabelSet, temperature: float, others: Mapping[str, Flags]
) -> dict[str, object]:
    """The fields of Evaluation that follow from the answers alone.

    `others` are the answers of other variants to the same texts, the teacher's first.
    """
    truth, kind = answered.truth, labels.problem_type
    single = kind == "single_label"
    answers = predicted(answered.logits, kind)
    raw = probabilities(answered.logits, kind, 1.0)
    tempered = probabilities(answered.logits, kind, temperature)
    hits, texts = right(truth, answers), len(truth)
    brier = brier_scores(truth, tempered)
    losses = log_losses(truth, tempered, single_label=single)
    confusion = truth.T.astype(np.int64) @ answers.astype(np.int64)
    return {
        "n": texts,
        "accuracy": proportion(hits),
        "macro_f1": bootstrapped(lambda at: macro_f1(truth[at], answers[at]), texts),
        "expected_calibration_error": bootstrapped(
            lambda at: calibration_error(truth[at], tempered[at], single_label=single), texts
        ),
        "uncalibrated_error": calibration_error(truth, raw, single_label=single),
        "brier": bootstrapped(lambda at: float(brier[at].mean()), texts),
        "negative_log_likelihood": bootstrapped(lambda at: float(losses[at].mean()), texts),
        "labels": label_scores(truth, answers, list(labels.names)),
        "confusion": confusion.tolist() if single else None,
        "lengths": bands(answered.lengths, hits),
        "agreement": next((proportion(right(o, answers)) for o in others.values()), None),
        "batch_flips": proportion(~right(answers, answered.together)),
        "versus": {name: paired(hits, right(truth, other)) for name, other in others.items()},
    }


def bands(lengths: Sequence[int], hits: Flags) -> list[Band]:
    """The accuracy in at most four bands of like many texts, from the shortest texts on.

    Texts of equal length are in the same band.
    """
    tokens = np.asarray(lengths)
    edges = np.unique(np.quantile(tokens, np.linspace(0, 1, _BANDS + 1), method="inverted_cdf"))
    low = edges[0] - 1
    found = []
    for high in edges[1:] if len(edges) > 1 else edges:
        inside = (tokens > low) & (tokens <= high)
        found.append(
            Band(
                shortest=int(tokens[inside].min()),
                longest=int(tokens[inside].max()),
                n=int(inside.sum()),
                accuracy=proportion(hits[inside]),
            )
        )
        low = high
    return found


def _others(job: Job, split: Split, labels: LabelSet) -> dict[str, Flags]:
    """What the teacher and the parent answered, by variant."""
    named = {job.root.variant: "teacher_answers"}
    if len(job.lineage) > 1:
        named[job.lineage[-2].variant] = "parent_answers"
    found = {}
    for variant, name in named.items():
        if name in job.inputs:
            answers = json.loads((job.inputs[name] / ANSWERS_NAME).read_text())[split]
            found[variant] = flags(answers, len(labels.names))
    return found
