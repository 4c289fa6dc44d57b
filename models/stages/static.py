"""The stage `static`: trains a classifier without attention, from a teacher or from labels."""

import json
import shutil
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from transformers.modeling_outputs import SequenceClassifierOutput

from models.data.labelled import LabelSet, label_matrix, read_labels, read_split, read_unlabelled
from models.data.sources import resolve
from models.evaluation.predictions import Predictor
from models.job import Job
from models.recipe import RecipeError
from models.recipe_sections import StaticSection
from models.training.augmentation import augmented
from models.training.checkpoint import Checkpoint
from models.training.encodings import token_ids
from models.training.knowledge_distillation import soft_loss
from models.training.loop import Loss, fit, label_loss
from models.training.normalization import normalizations, normalize
from models.training.static_classifier import StaticClassifier, StaticConfig
from models.training.validation import validation
from models.training.vocabulary import learnt, mask_word, trimmed, word_texts, words_to_keep
from serving.bundles.bundle import TOKENIZER_NAME, Bundle, read_bundle
from serving.errors import BundleError
from serving.inference.tokenizer import Tokenizer

_TEACHER_BATCH_TEXTS = 8


def run(job: Job) -> None:
    """Write the classifier as a folder of weights; validation picks the epoch.

    A teacher is run as it would be served, so it may have any number format. It also labels each
    word of the vocabulary, and these answers are where the embeddings start. Raises RecipeError
    when the teacher is for other labels, or its vocabulary cannot be used.
    """
    section = job.recipe.static
    assert section is not None
    torch.manual_seed(section.seed)
    torch.set_num_threads(1)  # its products are too small to share
    data = job.inputs["data"]
    labels, rows = read_labels(data), read_split(data, "train")
    teacher = _teacher(job, labels)
    texts, unlabelled = [row.text for row in rows], read_unlabelled(job.inputs["unlabelled"])
    vocabulary = _vocabulary(job, teacher, texts + unlabelled)
    (job.output / TOKENIZER_NAME).write_text(
        json.dumps(vocabulary, ensure_ascii=False, separators=(",", ":")), encoding="utf-8"
    )
    tokenizer = Tokenizer(job.output / TOKENIZER_NAME, job.max_length)
    model = StaticClassifier(_config(section, labels, vocabulary))
    truth = torch.from_numpy(label_matrix(rows, labels))
    taught = None
    if teacher:
        words = word_texts(vocabulary)
        mask = mask_word(teacher.tokenizer_path)
        more = augmented(
            texts + unlabelled, section.augmented_copies, section.seed, mask, section.augmented_by
        )
        asked, answers = more.asked()
        texts = more.texts + words
        logits = _logits(teacher, asked + words, labels)
        taught = torch.cat([logits[answers], logits[len(asked) :]])
        model.start_from(logits[len(asked) :])
    fit(
        model,
        token_ids(tokenizer, texts),
        _loss(section, labels, taught, truth),
        section,
        validate=validation(model, tokenizer, data),
        checkpoint=Checkpoint(job.checkpoint),
    )
    model.save_pretrained(job.output)


def _teacher(job: Job, labels: LabelSet) -> Bundle | None:
    """The parent's bundle, or the one that the recipe names, if any."""
    section = job.recipe.static
    assert section is not None
    if job.recipe.parent:
        return read_bundle(job.inputs["parent_bundle"])
    if section.teacher is None:
        return None
    found = resolve(section.teacher, job.recipe, job.inputs["downloads"])
    if found.path is None:
        raise RecipeError(f"static: teacher {found}: name the folder of a bundle")
    try:
        bundle = read_bundle(found.path)
    except BundleError as error:
        raise RecipeError(f"static: teacher: {error.detail}") from error
    manifest = bundle.manifest
    if manifest.problem_type != labels.problem_type or {*manifest.labels} != {*labels.names}:
        raise RecipeError(
            f"static: teacher {found} is {manifest.problem_type} with the labels "
            f"{', '.join(manifest.labels)}, the data is {labels.problem_type} with "
            f"{', '.join(labels.names)}: name a teacher of the same labels"
        )
    return bundle


def _vocabulary(job: Job, teacher: Bundle | None, texts: Sequence[str]) -> dict[str, Any]:
    """The parsed tokenizer.json."""
    section = job.recipe.static
    assert section is not None
    limit, kinds = section.vocabulary_words, section.normalize
    if kinds is None:
        kinds = normalizations(teacher.tokenizer_path) if teacher else ()
    try:
        if section.vocabulary == "learnt":
            return learnt(texts, limit, kinds)
        assert teacher is not None, "this is a bug: the recipe has no teacher"
        path = job.output / TOKENIZER_NAME
        shutil.copyfile(teacher.tokenizer_path, path)
        normalize(path, kinds)
        whole = json.loads(path.read_text(encoding="utf-8"))
        encodings = token_ids(Tokenizer(path, job.max_length), texts)
        return trimmed(whole, words_to_keep(whole, encodings, limit))
    except ValueError as error:
        raise RecipeError(f"{job.recipe.variant}: vocabulary_words: {error}") from error


def _config(section: StaticSection, labels: LabelSet, vocabulary: dict[str, Any]) -> StaticConfig:
    return StaticConfig(
        vocab_size=len(vocabulary["model"]["vocab"]),
        width=section.width,
        pad_token_id=vocabulary["model"]["vocab"].get("[PAD]", 0),
        problem_type=f"{labels.problem_type}_classification",
        id2label=dict(enumerate(labels.names)),
        label2id={name: index for index, name in enumerate(labels.names)},
    )


def _logits(teacher: Bundle, texts: Sequence[str], labels: LabelSet) -> torch.Tensor:
    """The teacher's logits, of shape (texts, labels), in the order of the data's labels."""
    order = [teacher.manifest.labels.index(name) for name in labels.names]
    logits = Predictor(teacher).logits(texts, _TEACHER_BATCH_TEXTS)
    return torch.from_numpy(logits[:, order].astype(np.float32))


def _loss(
    section: StaticSection, labels: LabelSet, taught: torch.Tensor | None, truth: torch.Tensor
) -> Loss:
    """The loss of the teacher's outputs, and of labels where a text has them.

    The labelled texts come first; without a teacher they are all.
    """
    soft = soft_loss(labels.problem_type, section.temperature)
    hard = label_loss(labels.problem_type)

    def loss(batch: list[int], output: SequenceClassifierOutput) -> torch.Tensor:
        logits = output.logits
        assert logits is not None
        if taught is None:
            return hard(logits, truth[batch])
        total = soft(logits, taught[batch])
        labelled = [row for row, index in enumerate(batch) if index < len(truth)]
        if labelled:
            wanted = truth[[batch[row] for row in labelled]]
            total = total + section.label_weight * hard(logits[labelled], wanted)
        return total

    return loss
