"""Fine-tunes a base model on the labelled texts: the teacher.

It does not know what will be distilled from it or how it is exported.
"""

import numpy as np
import numpy.typing as npt
import torch
from peft import LoraConfig, PeftModel, TaskType, get_peft_model
from transformers import AutoModelForSequenceClassification, PreTrainedModel
from transformers.modeling_outputs import SequenceClassifierOutput

from models.data.labelled import LabelSet, read_labels, read_split, targets
from models.data.sources import Place, place
from models.pipeline import Job
from models.recipe import RecipeError
from models.recipe_sections import ProblemType
from models.training.loop import Pace, accuracy, fit, label_loss, use_all_cores
from models.training.pretrained import check_length, copy_tokenizer
from serving.bundles.bundle import TOKENIZER_NAME
from serving.inference.tokenizer import Tokenizer


def run(job: Job) -> None:
    """Write the teacher as a Hugging Face folder; the epoch is chosen on validation.

    Raises RecipeError when there is no such base model.
    """
    section = job.recipe.train
    assert section is not None
    use_all_cores(section.seed)
    labels = read_labels(job.inputs["data"])
    base = place(section.base, job.recipe, job.inputs["sources"])
    model = _classifier(base, labels, section.lora_rank)
    check_length(model.config, section.max_length, base)
    copy_tokenizer(base, job.output)
    tokenizer = Tokenizer(job.output / TOKENIZER_NAME, section.max_length)
    train, validation = (read_split(job.inputs["data"], name) for name in ("train", "validation"))
    encodings = [encoding.ids for encoding in tokenizer.encode([row.text for row in train])]
    held_out = [encoding.ids for encoding in tokenizer.encode([row.text for row in validation])]
    truth, wanted = targets(train, labels), targets(validation, labels)
    balanced = section.class_weights == "balanced"
    weights = class_weights(truth, labels.problem_type) if balanced else None
    loss = label_loss(labels.problem_type, weights, section.label_smoothing)
    answers = torch.from_numpy(truth)

    def batch_loss(batch: list[int], output: SequenceClassifierOutput) -> torch.Tensor:
        assert output.logits is not None
        return loss(output.logits, answers[batch])

    fit(
        model,
        encodings,
        batch_loss,
        Pace(section.seed, section.epochs, section.learning_rate, section.batch_texts),
        lambda: accuracy(model, held_out, wanted, labels.problem_type),
    )
    merged = model.merge_and_unload() if isinstance(model, PeftModel) else model
    merged.save_pretrained(job.output)


def class_weights(truth: npt.NDArray[np.bool_], problem_type: ProblemType) -> torch.Tensor:
    """One weight a label, so that rare labels count as much as frequent ones.

    `truth` is of shape (texts, labels). With single_label, texts / (labels * texts of the
    label); with multi_label, texts without the label / texts with it.
    """
    having = truth.sum(axis=0)
    texts, labels = truth.shape
    single = problem_type == "single_label"
    weights = texts / (labels * having) if single else (texts - having) / having
    return torch.tensor(weights, dtype=torch.float32)


def _classifier(
    base: Place, labels: LabelSet, lora_rank: int | None
) -> PreTrainedModel | PeftModel:
    """The base model with a classification head, and with low-rank adapters when asked for.

    Adapters go to every linear layer; what the base has no weights for is trained in full.
    """
    kind = f"{labels.problem_type}_classification"
    try:
        model, report = AutoModelForSequenceClassification.from_pretrained(
            base.name,
            output_loading_info=True,
            id2label=dict(enumerate(labels.names)),
            label2id={name: index for index, name in enumerate(labels.names)},
            problem_type=kind,
            ignore_mismatched_sizes=True,  # an old head answered other labels
        )
    except (OSError, ValueError) as error:
        raise RecipeError(f"{base} is no base model that transformers can load: {error}") from error
    if lora_rank is None:
        return model  # type: ignore[no-any-return]
    untrained = {*report["missing_keys"], *(key for key, *_ in report["mismatched_keys"])}
    adapters = LoraConfig(
        task_type=TaskType.SEQ_CLS,
        r=lora_rank,
        lora_alpha=2 * lora_rank,
        target_modules="all-linear",
        modules_to_save=sorted({name.rpartition(".")[0] for name in untrained}),
    )
    return get_peft_model(model, adapters)
