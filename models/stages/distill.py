"""Distils a student from its teacher: fewer layers, less width, fewer words, the same answers.

It does not know how the teacher was trained or how the student is exported.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch.nn import functional
from transformers import PretrainedConfig, PreTrainedModel
from transformers.modeling_outputs import SequenceClassifierOutput

from models.data.labelled import LabelSet, read_labels, read_split, read_unlabelled, targets
from models.pipeline import Job
from models.recipe import RecipeError
from models.recipe_sections import DistillSection
from models.training.architecture import (
    KNOWN,
    Axis,
    check_known,
    head_size,
    importance,
    intermediate_size,
    kept_heads,
    load_classifier,
    most_important,
    resized,
    rows_of_heads,
    sliced,
)
from models.training.augmentation import augmented
from models.training.knowledge_distillation import (
    Answers,
    answers,
    first_tokens,
    label_losses,
    soft_loss,
)
from models.training.loop import Loss, Pace, accuracy, fit, label_loss, use_all_cores
from models.training.position_limit import longest_input
from models.training.vocabulary import cost, trimmed, words_to_keep
from serving.bundles.bundle import TOKENIZER_NAME
from serving.inference.tokenizer import Tokenizer

VOCABULARY_NAME = "vocabulary.json"


def run(job: Job) -> None:
    """Write the student as a Hugging Face folder; the epoch is chosen on validation.

    When words are left out, `vocabulary.json` says what that costs. Raises RecipeError when the
    recipe names a layer, a width or a vocabulary that the teacher cannot give.
    """
    section = job.recipe.distill
    max_length = job.root.max_length
    assert section is not None
    assert max_length is not None
    use_all_cores(section.seed)
    labels = read_labels(job.inputs["data"])
    train, validation = (read_split(job.inputs["data"], name) for name in ("train", "validation"))
    tokenizer_path = job.inputs["teacher"] / TOKENIZER_NAME
    teacher = load_classifier(job.inputs["teacher"])
    check_sizes(teacher.config, section)
    texts = [row.text for row in train] + read_unlabelled(job.inputs["data"])
    texts += augmented(texts, section.augmented_copies, section.seed, mask_word(tokenizer_path))
    whole = Tokenizer(tokenizer_path, max_length)
    encodings = [encoding.ids for encoding in whole.encode(texts)]
    taught = answers(teacher, encodings, section.layers)
    truth = torch.from_numpy(targets(train, labels))

    keep = _vocabulary(job, encodings[: len(train)])
    losses = label_losses(teacher, job)
    student, width = shrunk(teacher, section, keep, max_length, losses)
    tokenizer = Tokenizer(job.output / TOKENIZER_NAME, max_length)
    held_out = [e.ids for e in tokenizer.encode([row.text for row in validation])]
    wanted = targets(validation, labels)
    # It lives in the student only while that is trained, so that it is trained too.
    student.projection = _projection(width, teacher.config.hidden_size)
    fit(
        student,
        [e.ids for e in tokenizer.encode(texts)],
        _loss(section, labels, taught, truth, student.projection),
        Pace(section.seed, section.epochs, section.learning_rate, section.batch_texts),
        lambda: accuracy(student, held_out, wanted, labels.problem_type),
    )
    del student.projection
    student.save_pretrained(job.output)


def shrunk(
    teacher: PreTrainedModel,
    section: DistillSection,
    words: list[int] | None,
    max_length: int,
    losses: Iterator[torch.Tensor],
) -> tuple[PreTrainedModel, torch.Tensor]:
    """The untrained student, and which of the teacher's hidden dimensions it has.

    It has the section's layers, the embeddings of `words` (all when None), positions for
    `max_length` tokens and, where width or feed-forward are narrower, the teacher's most
    important dimensions, heads and units by `losses`.
    """
    config = teacher.config
    width = torch.arange(config.hidden_size)
    kept: dict[tuple[Axis, int | None], torch.Tensor] = {}
    sizes: dict[str, int] = {"layers": len(section.layers)}
    if words is not None:
        kept["words", None] = torch.tensor(words)
        sizes["words"] = len(words)
    if section.width or section.intermediate:
        heads = min(kept_heads(config), (section.width or config.hidden_size) // head_size(config))
        units = section.intermediate or intermediate_size(config)
        scores = importance(teacher, losses)
        if section.width:
            width = kept["width", None] = most_important(scores["width", None], section.width)
            sizes |= {"width": section.width, "heads": heads}
        for layer in section.layers:
            best = most_important(scores["heads", layer], heads)
            kept["heads", layer] = rows_of_heads(best, head_size(config))
            kept["units", layer] = most_important(scores["units", layer], units)
        sizes["intermediate"] = units
    unused = longest_input(config.to_dict()) - max_length
    positions = getattr(config, "max_position_embeddings", 0) - unused
    if config.model_type in KNOWN and unused > 0:
        kept["positions", None] = torch.arange(positions)
        sizes["positions"] = positions
    return sliced(teacher, resized(config, **sizes), section.layers, kept), width


def mask_word(tokenizer_path: Path) -> str | None:
    """The tokenizer's word for a masked one; None when it has none."""
    special = json.loads(tokenizer_path.read_text(encoding="utf-8"))["added_tokens"]
    return next((token["content"] for token in special if "mask" in token["content"].lower()), None)


def _vocabulary(job: Job, encodings: list[list[int]]) -> list[int] | None:
    """Write the student's tokenizer.json; the teacher's words that it has, None for all."""
    assert job.recipe.distill is not None
    limit = job.recipe.distill.vocabulary_words
    source = job.inputs["teacher"] / TOKENIZER_NAME
    target = job.output / TOKENIZER_NAME
    if limit is None:
        target.write_bytes(source.read_bytes())
        return None
    whole = json.loads(source.read_text(encoding="utf-8"))
    try:
        keep = words_to_keep(whole, encodings, limit)
    except ValueError as error:
        raise RecipeError(f"{job.recipe.variant}: vocabulary_words: {error}") from error
    cut = trimmed(whole, keep)
    target.write_text(json.dumps(cut, ensure_ascii=False, separators=(",", ":")), encoding="utf-8")
    held_out = [row.text for row in read_split(job.inputs["data"], "validation")]
    about: dict[str, Any] = {"words": len(keep), "words_before": len(whole["model"]["vocab"])}
    for name, texts in (
        ("validation", held_out),
        ("unlabelled", read_unlabelled(job.inputs["data"])),
    ):
        if texts:
            about[name] = cost(whole, cut, texts)
            print(f"{len(keep)} words, on {name} text: {about[name]}")
    (job.output / VOCABULARY_NAME).write_text(json.dumps(about, indent=2), encoding="ascii")
    return keep


def check_sizes(config: PretrainedConfig, section: DistillSection) -> None:
    """Raise RecipeError when a teacher of this config has no such layers, width or units."""
    if not set(section.layers) <= set(range(config.num_hidden_layers)):
        raise RecipeError(
            f"layers: {list(section.layers)} are not all in the teacher, which has "
            f"{config.num_hidden_layers}: name some of 0 to {config.num_hidden_layers - 1}"
        )
    if not (section.width or section.intermediate):
        return
    check_known(config, "width and intermediate")
    size = head_size(config)
    width = section.width or config.hidden_size
    if width > config.hidden_size or width % size:
        raise RecipeError(
            f"width {width} is not a multiple of the teacher's head size {size} "
            f"up to its own width {config.hidden_size}: choose one"
        )
    if (section.intermediate or 0) > intermediate_size(config):
        raise RecipeError(
            f"intermediate {section.intermediate} is more than the teacher's "
            f"{intermediate_size(config)}: make it smaller"
        )


def _projection(width: torch.Tensor, teacher_width: int) -> torch.nn.Module:
    """From the student's hidden dimensions to the teacher's, at first the ones it took over."""
    if len(width) == teacher_width:
        return torch.nn.Identity()
    projection = torch.nn.Linear(len(width), teacher_width, bias=False)
    with torch.no_grad():
        projection.weight.copy_(functional.one_hot(width, teacher_width).T)
    return projection


def _loss(
    section: DistillSection,
    labels: LabelSet,
    taught: Answers,
    truth: torch.Tensor,
    projection: torch.nn.Module,
) -> Loss:
    """Soft targets, labels where there are any, and alike first tokens.

    After each layer the first token's state is drawn to the teacher's, through a learnt
    projection when the widths differ, as TinyBERT does (Jiao et al. 2020) for all tokens: here
    the two may cut rare words into different pieces.
    """
    soft = soft_loss(labels.problem_type, section.temperature)
    hard = label_loss(labels.problem_type)
    every = range(len(section.layers))

    def loss(batch: list[int], output: SequenceClassifierOutput) -> torch.Tensor:
        assert output.logits is not None
        states = projection(first_tokens(output, every))
        alike = functional.mse_loss(states, taught.hidden[batch].float())
        total = soft(output.logits, taught.logits[batch]) + section.hidden_weight * alike
        labelled = [row for row, index in enumerate(batch) if index < len(truth)]
        if labelled:
            wanted = truth[[batch[row] for row in labelled]]
            total = total + section.label_weight * hard(output.logits[labelled], wanted)
        return total

    return loss
