"""Knowledge distillation: a teacher's outputs on texts, and a student trained to match them."""

import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch.nn import functional
from transformers import PreTrainedModel
from transformers.modeling_outputs import SequenceClassifierOutput

from models.data.labelled import label_matrix, read_labels, read_split, read_unlabelled
from models.job import Job
from models.progress import progress
from models.recipe_sections import ProblemType, PruneSection, SparsifySection, TrainingPrecision
from models.training.checkpoint import Checkpoint
from models.training.device import to_training_device
from models.training.encodings import Ids, token_ids
from models.training.loop import Loss, fit, label_loss, outputs, padded, similar_lengths
from models.training.teacher_states import TeacherStates
from models.training.validation import validation
from serving.bundles.bundle import TOKENIZER_NAME
from serving.inference.tokenizer import Tokenizer

_BATCH_TEXTS = 32
_SCORED_TEXTS = 1024


@dataclass(frozen=True)
class TeacherOutputs:
    """A teacher's logits (texts, labels) and its first token's states after some layers.

    `hidden` has the shape (texts, layers, width), in half precision to save memory.
    """

    logits: torch.Tensor
    hidden: torch.Tensor


def teacher_outputs(
    teacher: PreTrainedModel,
    encodings: Sequence[Ids],
    layers: tuple[int, ...] = (),
    precision: TrainingPrecision = "fp32",
) -> TeacherOutputs:
    """Run the teacher on all texts, in batches of similar length."""
    config = teacher.config
    logits = torch.empty(len(encodings), len(config.id2label or {}))
    hidden = torch.empty(len(encodings), len(layers), config.hidden_size, dtype=torch.half)
    batches = similar_lengths([len(ids) for ids in encodings], _BATCH_TEXTS, seed=0)
    to_training_device(teacher)
    with torch.no_grad():
        for batch in progress(batches, does="teacher", units="batches"):
            texts = [encodings[i] for i in batch]
            output = outputs(teacher, texts, precision, output_hidden_states=bool(layers))
            assert output.logits is not None
            logits[batch] = output.logits
            if layers:
                hidden[batch] = first_tokens(output, layers).half().cpu()
    teacher.cpu()
    return TeacherOutputs(logits, hidden)


def first_tokens(output: SequenceClassifierOutput, layers: Sequence[int]) -> torch.Tensor:
    """Return the first token's states after the layers, of shape (texts, layers, width)."""
    states = output.hidden_states
    assert states is not None
    return torch.stack([states[layer + 1][:, 0].float() for layer in layers], dim=1)


def first_token_loss(taught: TeacherOutputs, projection: torch.nn.Module) -> Loss:
    """Return the loss of the first token's states after each layer, through `projection`.

    For a student that splits its texts into other tokens than its teacher.
    """

    def loss(batch: list[int], output: SequenceClassifierOutput) -> torch.Tensor:
        wanted = taught.hidden[batch].float()
        states = projection(first_tokens(output, range(wanted.shape[1]))).cpu()
        return functional.mse_loss(states, wanted)

    return loss


def every_token_loss(theirs: TeacherStates, projection: torch.nn.Module) -> Loss:
    """Return the loss of all tokens' states after each layer, as TinyBERT's (Jiao et al. 2020).

    They are the student's, through `projection`, for the same tokens as its teacher's. The error
    of a layer is relative to the variance of the teacher's states, so that each layer counts alike.
    """

    def loss(batch: list[int], output: SequenceClassifierOutput) -> torch.Tensor:
        wanted = theirs.of(batch)
        tokens = padded([theirs.encodings[i] for i in batch])["attention_mask"].bool()
        assert output.hidden_states is not None
        errors = []
        for layer, states in zip(wanted.unbind(1), output.hidden_states[1:], strict=True):
            error = functional.mse_loss(projection(states[tokens].float()), layer)
            errors.append(error / layer.var())
        return torch.stack(errors).mean().cpu()

    return loss


def soft_loss(
    problem_type: ProblemType, temperature: float
) -> Callable[[torch.Tensor, torch.Tensor], torch.Tensor]:
    """Return the loss of logits against a teacher's, both (texts, labels) (Hinton et al. 2015).

    It is the divergence of the softened distributions; with multi_label, of each label's own.
    """

    def one(logits: torch.Tensor, taught: torch.Tensor) -> torch.Tensor:
        divergence = functional.kl_div(
            functional.log_softmax(logits / temperature, dim=-1),
            functional.log_softmax(taught / temperature, dim=-1),
            log_target=True,
            reduction="batchmean",
        )
        return divergence * temperature**2

    def each(logits: torch.Tensor, taught: torch.Tensor) -> torch.Tensor:
        wanted = torch.sigmoid(taught / temperature)
        loss = functional.binary_cross_entropy_with_logits(logits / temperature, wanted)
        return loss * temperature**2

    return one if problem_type == "single_label" else each


def label_losses(teacher: PreTrainedModel, job: Job) -> Iterator[torch.Tensor]:
    """Yield the teacher's loss on batches of up to 1,024 labelled training texts."""
    labels = read_labels(job.inputs["data"])
    loss = label_loss(labels.problem_type)
    rows = read_split(job.inputs["data"], "train")[:_SCORED_TEXTS]
    tokenizer = Tokenizer(job.inputs["parent_weights"] / TOKENIZER_NAME, job.max_length)
    encodings = token_ids(tokenizer, [row.text for row in rows])
    truth = torch.from_numpy(label_matrix(rows, labels))
    for batch in similar_lengths([len(ids) for ids in encodings], _BATCH_TEXTS, seed=0):
        output = outputs(teacher, [encodings[i] for i in batch])
        assert output.logits is not None
        yield loss(output.logits, truth[batch])


def recover(
    student: PreTrainedModel,
    parent: PreTrainedModel,
    job: Job,
    section: PruneSection | SparsifySection,
) -> None:
    """Train a pruned or sparse student to match its parent; validation picks the epoch.

    Also copies the parent's tokenizer, which the student keeps, into the job's output.
    """
    data = job.inputs["data"]
    tokenizer_path = job.output / TOKENIZER_NAME
    shutil.copyfile(job.inputs["parent_weights"] / TOKENIZER_NAME, tokenizer_path)
    tokenizer = Tokenizer(tokenizer_path, job.max_length)
    texts = [row.text for row in read_split(data, "train")] + read_unlabelled(
        job.inputs["unlabelled"]
    )
    encodings = token_ids(tokenizer, texts)
    taught = teacher_outputs(parent, encodings, precision=section.precision).logits
    soft = soft_loss(read_labels(data).problem_type, section.temperature)

    def loss(batch: list[int], output: SequenceClassifierOutput) -> torch.Tensor:
        assert output.logits is not None
        return soft(output.logits, taught[batch])

    fit(
        student,
        encodings,
        loss,
        section,
        validate=validation(student, tokenizer, data),
        checkpoint=Checkpoint(job.checkpoint),
    )
