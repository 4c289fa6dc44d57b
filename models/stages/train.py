"""The stage `train`: fine-tunes a base model on the labelled texts; the result is the teacher."""

from collections.abc import Set as AbstractSet

import numpy as np
import numpy.typing as npt
import torch
from peft import LoraConfig, PeftModel, TaskType, get_peft_model
from transformers import PreTrainedModel
from transformers.modeling_outputs import SequenceClassifierOutput

from models.data.labelled import label_matrix, read_labels, read_split
from models.data.sources import Source, resolve
from models.job import Job
from models.recipe import RecipeError
from models.recipe_sections import ProblemType, TrainSection
from models.training.checkpoint import Checkpoint
from models.training.encodings import token_ids
from models.training.loop import fit, label_loss, use_all_cores
from models.training.normalization import normalize
from models.training.pretrained import base_classifier, check_length
from models.training.tokenizer_file import copy_tokenizer
from models.training.validation import validation
from models.training.vocabulary import unknown_share
from serving.bundles.bundle import TOKENIZER_NAME
from serving.inference.tokenizer import Tokenizer


def run(job: Job) -> None:
    """Write the teacher as a Hugging Face folder; validation picks the epoch.

    Raises RecipeError when the base model cannot be loaded or read `max_length` tokens, or knows
    too few of the texts' words.
    """
    section = job.recipe.train
    assert section is not None
    use_all_cores(section.seed)
    data = job.inputs["data"]
    labels = read_labels(data)
    base = resolve(section.base, job.recipe, job.inputs["downloads"])
    classifier, untrained = base_classifier(base, labels)
    check_length(classifier.config, section.max_length, base)
    rank = section.lora_rank
    model = classifier if rank is None else _with_adapters(classifier, untrained, rank)
    copy_tokenizer(base, job.output, section.max_length)
    normalize(job.output / TOKENIZER_NAME, section.normalize)
    tokenizer = Tokenizer(job.output / TOKENIZER_NAME, section.max_length)
    rows = read_split(data, "train")
    matrix = label_matrix(rows, labels)
    balanced = section.class_weights == "balanced"
    weights = class_weights(matrix, labels.problem_type) if balanced else None
    loss = label_loss(labels.problem_type, weights, section.label_smoothing)
    truth = torch.from_numpy(matrix)

    def batch_loss(batch: list[int], output: SequenceClassifierOutput) -> torch.Tensor:
        assert output.logits is not None
        return loss(output.logits, truth[batch])

    ids = token_ids(tokenizer, [row.text for row in rows])
    _check_vocabulary(unknown_share(job.output / TOKENIZER_NAME, ids), section, base)
    fit(
        model,
        ids,
        batch_loss,
        section,
        validate=validation(model, tokenizer, data),
        checkpoint=Checkpoint(job.checkpoint),
    )
    merged = model.merge_and_unload() if isinstance(model, PeftModel) else model
    merged.save_pretrained(job.output)


def _check_vocabulary(unknown: float, section: TrainSection, base: Source) -> None:
    print(f"tokens that the base does not know: {unknown:.1%}")
    if unknown > section.max_unknown_share:
        raise RecipeError(
            f"{base} does not know {unknown:.0%} of the texts' tokens, so that it cannot tell the "
            f"texts apart (max_unknown_share is {section.max_unknown_share:g}): choose a base for "
            'their language, or a [static] classifier with `vocabulary = "learnt"`'
        )


def class_weights(truth: npt.NDArray[np.bool_], problem_type: ProblemType) -> torch.Tensor:
    """Compute a weight for each label, so that rare labels count as much as frequent ones.

    `truth` has the shape (texts, labels). The weight is texts / (labels * texts with the label),
    or with multi_label texts without the label / texts with it.
    """
    having = truth.sum(axis=0)
    texts, labels = truth.shape
    single = problem_type == "single_label"
    weights = texts / (labels * having) if single else (texts - having) / having
    return torch.tensor(weights, dtype=torch.float32)


def _with_adapters(model: PreTrainedModel, untrained: AbstractSet[str], rank: int) -> PeftModel:
    """Give every linear layer an adapter; the modules of `untrained` weights train in full."""
    adapters = LoraConfig(
        task_type=TaskType.SEQ_CLS,
        r=rank,
        lora_alpha=2 * rank,
        target_modules="all-linear",
        modules_to_save=sorted({name.rpartition(".")[0] for name in untrained}),
    )
    return get_peft_model(model, adapters)
