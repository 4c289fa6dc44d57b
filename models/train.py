"""Fine-tunes the base model on the labelled sentences: the teacher.

It does not know what will be distilled from it or how it is exported.
"""

import os

import torch
from transformers import AutoModelForSequenceClassification

from models.data import LABELS, read_split
from models.fit import Pace, accuracy, fit
from models.workshop import Job
from serving.tokenizer import Tokenizer


def run(job: Job) -> None:
    """Write the teacher as a Hugging Face folder; the epoch is chosen on validation."""
    section = job.recipe.train
    assert section is not None
    torch.set_num_threads(len(os.sched_getaffinity(0)))
    torch.manual_seed(section.seed)
    base = job.inputs["sources"] / "base"
    model = AutoModelForSequenceClassification.from_pretrained(
        base, id2label=dict(enumerate(LABELS)), label2id={name: i for i, name in enumerate(LABELS)}
    )
    tokenizer = Tokenizer(base / "tokenizer.json", section.max_length)
    train, validation = (read_split(job.inputs["data"], name) for name in ("train", "validation"))
    encodings = [encoding.ids for encoding in tokenizer.encode([row.text for row in train])]
    held_out = [encoding.ids for encoding in tokenizer.encode([row.text for row in validation])]
    labels = torch.tensor([row.label for row in train])
    loss = torch.nn.CrossEntropyLoss(label_smoothing=section.label_smoothing)
    fit(
        model,
        encodings,
        lambda batch, output: loss(output.logits, labels[batch]),
        Pace(section.seed, section.epochs, section.learning_rate, section.batch_texts),
        lambda: accuracy(model, held_out, [row.label for row in validation]),
    )
    model.save_pretrained(job.output)
    (job.output / "tokenizer.json").write_bytes((base / "tokenizer.json").read_bytes())
