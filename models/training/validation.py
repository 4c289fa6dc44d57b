"""A model's accuracy on the validation split, by which training picks its best epoch."""

from collections.abc import Callable
from pathlib import Path

import torch

from models.data.labelled import label_matrix, read_labels, read_split
from models.training.encodings import token_ids
from models.training.loop import accuracy
from serving.inference.tokenizer import Tokenizer


def validation(model: torch.nn.Module, tokenizer: Tokenizer, data: Path) -> Callable[[], float]:
    """Return a function that computes the model's accuracy as it is when called.

    `data` is the folder of the data stage; its texts are tokenized once.
    """
    labels, rows = read_labels(data), read_split(data, "validation")
    encodings = token_ids(tokenizer, [row.text for row in rows])
    truth = label_matrix(rows, labels)
    return lambda: accuracy(model, encodings, truth, labels.problem_type)
