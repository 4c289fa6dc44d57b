"""Distils a student from its teacher: fewer layers, fewer words, the same answers.

It does not know how the teacher was trained or how the student is exported.
"""

import copy
import json
import os
from collections.abc import Sequence

import torch
from torch.nn import functional
from tqdm import tqdm
from transformers import AutoModelForSequenceClassification, PreTrainedModel
from transformers.modeling_outputs import SequenceClassifierOutput

from models.data import LABELS, read_split, read_unlabelled
from models.fit import Ids, Loss, Pace, accuracy, fit, padded, similar_lengths
from models.recipe import DistillSection, RecipeError
from models.vocabulary import trimmed, words_to_keep
from models.workshop import Job
from serving.tokenizer import Tokenizer

_NO_LABEL = -100
_BATCH_TEXTS = 32


def run(job: Job) -> None:
    """Write the student as a Hugging Face folder; the epoch is chosen on validation.

    Raises RecipeError when the recipe names a layer or a vocabulary that the teacher cannot give.
    """
    section = job.recipe.distill
    max_length = job.root.max_length
    assert section is not None
    assert max_length is not None
    torch.set_num_threads(len(os.sched_getaffinity(0)))
    torch.manual_seed(section.seed)
    train, validation = (read_split(job.inputs["data"], name) for name in ("train", "validation"))
    texts = [row.text for row in train] + read_unlabelled(job.inputs["data"])
    labels = torch.full((len(texts),), _NO_LABEL)
    labels[: len(train)] = torch.tensor([row.label for row in train])

    tokenizer_path = job.inputs["teacher"] / "tokenizer.json"
    teacher = AutoModelForSequenceClassification.from_pretrained(job.inputs["teacher"]).eval()
    encodings = [e.ids for e in Tokenizer(tokenizer_path, max_length).encode(texts)]
    logits, hidden = _answers(teacher, encodings, section.layers)

    tokenizer = json.loads(tokenizer_path.read_text())
    try:
        keep = words_to_keep(tokenizer, encodings, section.vocabulary_words)
        student = shrunk(teacher, section.layers, keep)
    except (ValueError, KeyError) as error:
        raise RecipeError(f"{job.recipe.variant}: distill: {error}") from error
    path = job.output / "tokenizer.json"
    path.write_text(json.dumps(trimmed(tokenizer, keep), ensure_ascii=False))
    student_tokenizer = Tokenizer(path, max_length)
    held_out = [e.ids for e in student_tokenizer.encode([row.text for row in validation])]
    fit(
        student,
        [e.ids for e in student_tokenizer.encode(texts)],
        _loss(section, logits, hidden, labels),
        Pace(section.seed, section.epochs, section.learning_rate, section.batch_texts),
        lambda: accuracy(student, held_out, [row.label for row in validation]),
    )
    student.save_pretrained(job.output)


def shrunk(teacher: PreTrainedModel, layers: tuple[int, ...], keep: list[int]) -> PreTrainedModel:
    """A BERT classifier with the teacher's `layers` and the embeddings of the words `keep`.

    Raises KeyError when the teacher has no such layer.
    """
    config = copy.deepcopy(teacher.config)
    config.num_hidden_layers = len(layers)
    config.vocab_size = len(keep)
    taught = teacher.state_dict()
    weights = {name: value for name, value in taught.items() if ".layer." not in name}
    student: PreTrainedModel = AutoModelForSequenceClassification.from_config(  # type: ignore[no-untyped-call]
        config
    )
    for name in student.state_dict():
        if ".layer." in name:
            prefix, _, rest = name.partition(".layer.")
            index, _, rest = rest.partition(".")
            weights[name] = taught[f"{prefix}.layer.{layers[int(index)]}.{rest}"]
    words = "bert.embeddings.word_embeddings.weight"
    weights[words] = weights[words][keep]
    student.load_state_dict(weights)
    return student


def _answers(
    teacher: PreTrainedModel, encodings: Sequence[Ids], layers: tuple[int, ...]
) -> tuple[torch.Tensor, torch.Tensor]:
    """The teacher's logits (texts, labels) and first-token states (texts, layers, width)."""
    config = teacher.config
    logits = torch.empty(len(encodings), len(LABELS))
    hidden = torch.empty(len(encodings), len(layers), config.hidden_size)
    batches = similar_lengths([len(ids) for ids in encodings], _BATCH_TEXTS, seed=0)
    with torch.no_grad():
        for batch in tqdm(batches, desc="the teacher answers", unit="batch"):
            output = teacher(**padded([encodings[i] for i in batch]), output_hidden_states=True)
            logits[batch] = output.logits
            hidden[batch] = _first_tokens(output, layers)
    return logits, hidden


def _first_tokens(output: SequenceClassifierOutput, layers: tuple[int, ...]) -> torch.Tensor:
    states = output.hidden_states
    assert states is not None
    return torch.stack([states[layer + 1][:, 0] for layer in layers], dim=1)


def _loss(
    section: DistillSection, logits: torch.Tensor, hidden: torch.Tensor, labels: torch.Tensor
) -> Loss:
    """Soft targets (Hinton et al. 2015), labels where there are any, and alike first tokens.

    After each layer the first token's state is drawn to the teacher's, as TinyBERT does (Jiao et
    al. 2020) for all tokens: here the two may cut rare words into different pieces.
    """
    warmth = section.temperature
    every = tuple(range(len(section.layers)))

    def loss(batch: list[int], output: SequenceClassifierOutput) -> torch.Tensor:
        assert output.logits is not None
        soft = functional.kl_div(
            functional.log_softmax(output.logits / warmth, dim=-1),
            functional.log_softmax(logits[batch] / warmth, dim=-1),
            log_target=True,
            reduction="batchmean",
        )
        alike = functional.mse_loss(_first_tokens(output, every), hidden[batch])
        total = soft * warmth**2 + section.hidden_weight * alike
        if (labels[batch] != _NO_LABEL).any():
            hard = functional.cross_entropy(output.logits, labels[batch])
            total = total + section.label_weight * hard
        return total

    return loss
