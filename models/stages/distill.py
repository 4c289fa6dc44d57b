"""The stage `distill`: trains a student, smaller than its teacher, to match its outputs."""

import json
import shutil
from collections.abc import Iterator
from typing import Any

import torch
from torch.nn import functional
from transformers import PretrainedConfig, PreTrainedModel
from transformers.modeling_outputs import SequenceClassifierOutput

from models.data.labelled import LabelSet, label_matrix, read_labels, read_split, read_unlabelled
from models.data.sources import resolve
from models.job import Job
from models.recipe import RecipeError
from models.recipe_sections import DistillSection
from models.training.architecture import (
    KNOWN,
    AxisValues,
    check_cuttable,
    check_known,
    embedding_width,
    head_size,
    importance,
    intermediate_size,
    kept_heads,
    load_classifier,
    most_important,
    most_important_in_layers,
    resized,
    sliced,
)
from models.training.augmentation import Augmented, augmented
from models.training.checkpoint import Checkpoint, read_state, write_state
from models.training.encodings import token_ids
from models.training.knowledge_distillation import (
    TeacherOutputs,
    every_token_loss,
    first_token_loss,
    label_losses,
    soft_loss,
    teacher_outputs,
)
from models.training.loop import Loss, fit, label_loss, leave_dropout_out, use_all_cores
from models.training.normalization import normalizations, normalize
from models.training.pretrained import base_classifier, check_length
from models.training.refit import refit
from models.training.teacher_states import TeacherStates
from models.training.tokenizer_file import copy_tokenizer
from models.training.validation import validation
from models.training.vocabulary import cost, mask_word, trimmed, words_to_keep
from serving.bundles.bundle import TOKENIZER_NAME
from serving.bundles.position_limit import longest_input
from serving.inference.tokenizer import Tokenizer

VOCABULARY_NAME = "vocabulary.json"
_TAUGHT_NAME = "taught.pt"


def run(job: Job) -> None:
    """Write the student as a Hugging Face folder; validation picks the epoch.

    If the vocabulary is trimmed, `vocabulary.json` says what that costs. Raises RecipeError when
    the teacher cannot give the recipe's layers, width, heads, units or vocabulary.
    """
    section = job.recipe.distill
    assert section is not None
    use_all_cores(section.seed)
    data = job.inputs["data"]
    labels, rows = read_labels(data), read_split(data, "train")
    tokenizer_path = job.inputs["parent_weights"] / TOKENIZER_NAME
    teacher = load_classifier(job.inputs["parent_weights"])
    texts = [row.text for row in rows] + read_unlabelled(job.inputs["unlabelled"])
    mask = mask_word(tokenizer_path)
    more = augmented(texts, section.augmented_copies, section.seed, mask, section.augmented_by)
    source = teacher
    if section.base:
        base = resolve(section.base, job.recipe, job.inputs["downloads"])
        source, _ = base_classifier(base, labels)
        check_length(source.config, job.max_length, base)
        copy_tokenizer(base, job.output, job.max_length)
    else:
        shutil.copyfile(tokenizer_path, job.output / TOKENIZER_NAME)
    kinds = section.normalize
    normalize(
        job.output / TOKENIZER_NAME, normalizations(tokenizer_path) if kinds is None else kinds
    )
    check_sizes(source.config, section)
    check_cuttable(source, len(section.layers))
    checkpoint, every_token = Checkpoint(job.checkpoint), section.hidden_tokens == "all"
    layers = () if section.base or every_token else section.layers
    taught = _taught(job, teacher, more, layers)

    words = _trim_tokenizer(job, [row.text for row in rows])
    student, width = shrunk(source, section, words, job.max_length, label_losses(source, job))
    tokenizer = Tokenizer(job.output / TOKENIZER_NAME, job.max_length)
    leave_dropout_out(student)
    ids = token_ids(tokenizer, more.texts)
    # A module of the student while that is trained, so that the optimiser sees its weights.
    student.projection = projection = _projection(width, source.config.hidden_size)
    states = first_token_loss(taught, projection)
    if every_token:
        theirs = ids if words is None else [[words[i] for i in each] for each in ids]
        if checkpoint.read() is None:
            refit(student, teacher, section.layers, ids, theirs, width=width)
        kept = TeacherStates(teacher, theirs, section.layers, section.precision, job.output)
        states = every_token_loss(kept, projection)
    truth = torch.from_numpy(label_matrix(rows, labels))
    fit(
        student,
        ids,
        _loss(section, labels, taught, truth, states),
        section,
        validate=validation(student, tokenizer, data),
        checkpoint=checkpoint,
        least=_least(teacher, job),
    )
    del student.projection
    student.save_pretrained(job.output)


def _taught(
    job: Job, teacher: PreTrainedModel, texts: Augmented, layers: tuple[int, ...]
) -> TeacherOutputs:
    """The teacher's outputs for each text, which take as long as the student's training."""
    assert job.recipe.distill is not None
    asked, answers = texts.asked()
    path = job.checkpoint and job.checkpoint / _TAUGHT_NAME
    if path and (kept := read_state(path)):
        taught = TeacherOutputs(**kept)
    else:
        tokenizer = Tokenizer(job.inputs["parent_weights"] / TOKENIZER_NAME, job.max_length)
        encodings = token_ids(tokenizer, asked)
        taught = teacher_outputs(teacher, encodings, layers, job.recipe.distill.precision)
        if path:
            write_state(path, vars(taught))
    return TeacherOutputs(taught.logits[answers], taught.hidden[answers])


def _least(teacher: PreTrainedModel, job: Job) -> float:
    """The validation accuracy that the student must be able to reach; 0 without a limit."""
    assert job.recipe.distill is not None
    limit = job.recipe.distill.max_drop
    if limit is None:
        return 0.0
    tokenizer = Tokenizer(job.inputs["parent_weights"] / TOKENIZER_NAME, job.max_length)
    return max(0.0, validation(teacher, tokenizer, job.inputs["data"])() - limit)


def shrunk(
    teacher: PreTrainedModel,
    section: DistillSection,
    words: list[int] | None,
    max_length: int,
    losses: Iterator[torch.Tensor],
) -> tuple[PreTrainedModel, torch.Tensor]:
    """Create the untrained student; also return which of the teacher's hidden dimensions it has.

    It has the section's layers, the embeddings of `words` (all if None), positions for
    `max_length` tokens and, if the section makes it narrower, the teacher's most important
    dimensions, heads and units by `losses`.
    """
    config = teacher.config
    width = torch.arange(config.hidden_size)
    kept: AxisValues = {}
    sizes: dict[str, int] = {"layers": len(section.layers)}
    if words is not None:
        kept["words", None] = torch.tensor(words)
        sizes["words"] = len(words)
    if section.width or section.heads or section.intermediate:
        fitting = (section.width or config.hidden_size) // head_size(config)
        heads = min(kept_heads(config), section.heads or fitting)
        units = section.intermediate or intermediate_size(config)
        scores = importance(teacher, losses)
        if section.width:
            width = kept["width", None] = most_important(scores["width", None], section.width)
            sizes["width"] = section.width
        if section.width or section.heads:
            sizes["heads"] = heads
        kept |= most_important_in_layers(scores, config, section.layers, heads, units)
        sizes["intermediate"] = units
    unused = longest_input(config.to_dict()) - max_length
    positions = getattr(config, "max_position_embeddings", 0) - unused
    if config.model_type in KNOWN and unused > 0:
        kept["positions", None] = torch.arange(positions)
        sizes["positions"] = positions
    return sliced(teacher, resized(config, **sizes), section.layers, kept), width


def _trim_tokenizer(job: Job, labelled: list[str]) -> list[int] | None:
    """Trim the student's tokenizer.json; return the ids of the words it keeps, None for all."""
    assert job.recipe.distill is not None
    limit = job.recipe.distill.vocabulary_words
    if limit is None:
        return None
    target = job.output / TOKENIZER_NAME
    whole = json.loads(target.read_text(encoding="utf-8"))
    encodings = token_ids(Tokenizer(target, job.max_length), labelled)
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
        ("unlabelled", read_unlabelled(job.inputs["unlabelled"])),
    ):
        if texts:
            about[name] = cost(whole, cut, texts)
            print(f"vocabulary of {len(keep)} words on {name} texts: {about[name]}")
    (job.output / VOCABULARY_NAME).write_text(json.dumps(about, indent=2), encoding="ascii")
    return keep


def check_sizes(config: PretrainedConfig, section: DistillSection) -> None:
    """Raise RecipeError when the teacher lacks the section's layers, width, heads or units."""
    if not set(section.layers) <= set(range(config.num_hidden_layers)):
        raise RecipeError(
            f"layers: the teacher does not have all of {list(section.layers)}: choose from 0 to "
            f"{config.num_hidden_layers - 1}"
        )
    if section.hidden_tokens == "all":
        check_known(config, 'hidden_tokens = "all"')
    if not (section.width or section.heads or section.intermediate):
        return
    check_known(config, "width, heads and intermediate")
    size = head_size(config)
    width = section.width or config.hidden_size
    if width > config.hidden_size or width % size:
        raise RecipeError(
            f"width {width}: choose a multiple of the teacher's head size {size}, at most its "
            f"width {config.hidden_size}"
        )
    if width == embedding_width(config) != config.hidden_size:
        raise RecipeError(
            f"width {width}: the teacher projects embeddings of this width, and a student of the "
            "same width would not: choose another"
        )
    if (section.heads or 0) > kept_heads(config):
        raise RecipeError(
            f"heads {section.heads}: choose at most the teacher's {kept_heads(config)}"
        )
    if (section.intermediate or 0) > intermediate_size(config):
        raise RecipeError(
            f"intermediate {section.intermediate}: choose at most the teacher's "
            f"{intermediate_size(config)}"
        )


def _projection(width: torch.Tensor, teacher_width: int) -> torch.nn.Module:
    """A learnt map from the student's hidden dimensions to the teacher's.

    It starts by mapping each dimension to the one that it was taken from.
    """
    if len(width) == teacher_width:
        return torch.nn.Identity()
    projection = torch.nn.Linear(len(width), teacher_width, bias=False)
    with torch.no_grad():
        projection.weight.copy_(functional.one_hot(width, teacher_width).T)
    return projection


def _loss(
    section: DistillSection,
    labels: LabelSet,
    taught: TeacherOutputs,
    truth: torch.Tensor,
    states: Loss,
) -> Loss:
    """The loss of soft targets, of labels where a text has them, and of hidden states."""
    soft = soft_loss(labels.problem_type, section.temperature)
    hard = label_loss(labels.problem_type)

    def loss(batch: list[int], output: SequenceClassifierOutput) -> torch.Tensor:
        assert output.logits is not None
        total = soft(output.logits, taught.logits[batch])
        if section.hidden_weight:
            total = total + section.hidden_weight * states(batch, output)
        labelled = [row for row, index in enumerate(batch) if index < len(truth)]
        if labelled:
            wanted = truth[[batch[row] for row in labelled]]
            total = total + section.label_weight * hard(output.logits[labelled], wanted)
        return total

    return loss
