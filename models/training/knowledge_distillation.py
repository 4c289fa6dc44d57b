"""What a teacher answers to texts, and how a student learns to answer alike.

It does not know how the student was made: by fewer layers, pruned heads or zeroed weights.
"""

import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch.nn import functional
from transformers import PreTrainedModel
from transformers.modeling_outputs import SequenceClassifierOutput

from models.data.labelled import read_labels, read_split, read_unlabelled, targets
from models.pipeline import Job
from models.progress import progress
from models.recipe_sections import ProblemType, PruneSection, SparsifySection
from models.training.loop import Ids, Pace, accuracy, fit, label_loss, padded, similar_lengths
from serving.bundles.bundle import TOKENIZER_NAME
from serving.inference.tokenizer import Tokenizer

_BATCH_TEXTS = 32
_SCORED_TEXTS = 1024


@dataclass(frozen=True)
class Answers:
    """Logits (texts, labels) and the first token's states after some layers.

    `hidden` is of shape (texts, layers, width), in half precision: many texts are answered.
    """

    logits: torch.Tensor
    hidden: torch.Tensor


def answers(
    teacher: PreTrainedModel, encodings: Sequence[Ids], layers: tuple[int, ...] = ()
) -> Answers:
    """What the teacher answers, in batches of similar length."""
    config = teacher.config
    logits = torch.empty(len(encodings), len(config.id2label or {}))
    hidden = torch.empty(len(encodings), len(layers), config.hidden_size, dtype=torch.half)
    batches = similar_lengths([len(ids) for ids in encodings], _BATCH_TEXTS, seed=0)
    with torch.no_grad():
        for batch in progress(batches, does="the teacher answers", units="batches"):
            inputs = padded([encodings[i] for i in batch])
            output = teacher(**inputs, output_hidden_states=bool(layers))
            logits[batch] = output.logits
            if layers:
                hidden[batch] = first_tokens(output, layers).half()
    return Answers(logits, hidden)


def first_tokens(output: SequenceClassifierOutput, layers: Sequence[int]) -> torch.Tensor:
    """The first token's states after the layers: (texts, layers, width)."""
    states = output.hidden_states
    assert states is not None
    return torch.stack([states[layer + 1][:, 0] for layer in layers], dim=1)


def soft_loss(
    problem_type: ProblemType, temperature: float
) -> Callable[[torch.Tensor, torch.Tensor], torch.Tensor]:
    """The loss of logits against a teacher's logits, both (texts, labels) (Hinton et al. 2015).

    The divergence of the softened distributions; with multi_label, of each label's own.
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
    """The teacher's own loss on some of the labelled training texts, batch by batch."""
    assert job.root.max_length is not None
    labels = read_labels(job.inputs["data"])
    loss = label_loss(labels.problem_type)
    rows = read_split(job.inputs["data"], "train")[:_SCORED_TEXTS]
    tokenizer = Tokenizer(job.inputs["teacher"] / TOKENIZER_NAME, job.root.max_length)
    encodings = [encoding.ids for encoding in tokenizer.encode([row.text for row in rows])]
    truth = torch.from_numpy(targets(rows, labels))
    for batch in similar_lengths([len(ids) for ids in encodings], _BATCH_TEXTS, seed=0):
        yield loss(teacher(**padded([encodings[i] for i in batch])).logits, truth[batch])


def recover(
    student: PreTrainedModel,
    parent: PreTrainedModel,
    job: Job,
    section: PruneSection | SparsifySection,
) -> None:
    """Train what is left of a parent to answer as it; the epoch is chosen on validation.

    The parent's tokenizer, which it keeps, goes to the job's output.
    """
    data = job.inputs["data"]
    max_length = job.root.max_length
    assert max_length is not None
    labels = read_labels(data)
    tokenizer_path = job.output / TOKENIZER_NAME
    shutil.copyfile(job.inputs["teacher"] / TOKENIZER_NAME, tokenizer_path)
    tokenizer = Tokenizer(tokenizer_path, max_length)
    texts = [row.text for row in read_split(data, "train")] + read_unlabelled(data)
    encodings = [encoding.ids for encoding in tokenizer.encode(texts)]
    validation = read_split(data, "validation")
    held_out = [e.ids for e in tokenizer.encode([row.text for row in validation])]
    wanted = targets(validation, labels)
    taught = answers(parent, encodings).logits
    soft = soft_loss(labels.problem_type, section.temperature)

    def loss(batch: list[int], output: SequenceClassifierOutput) -> torch.Tensor:
        assert output.logits is not None
        return soft(output.logits, taught[batch])

    fit(
        student,
        encodings,
        loss,
        Pace(section.seed, section.epochs, section.learning_rate, section.batch_texts),
        lambda: accuracy(student, held_out, wanted, labels.problem_type),
    )
