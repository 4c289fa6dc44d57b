"""Pseudo-labels: what a fine-tuned classifier answers to texts that have no labels."""

import tempfile
from collections.abc import Sequence
from pathlib import Path

from models.data.sources import Source
from models.recipe_sections import ProblemType
from models.training.encodings import token_ids
from models.training.knowledge_distillation import teacher_outputs
from models.training.loop import use_all_cores
from models.training.pretrained import adopted_classifier, labels_of
from models.training.tokenizer_file import copy_tokenizer
from serving.bundles.bundle import TOKENIZER_NAME
from serving.inference.tokenizer import Tokenizer


def answers_of(
    found: Source, texts: Sequence[str], max_length: int, problem_type: ProblemType
) -> list[tuple[str, ...]]:
    """Return the labels that a classifier gives to each text, as names.

    It is the label of the largest logit, or with multi_label every label of probability >= 0.5.
    Raises RecipeError when the classifier cannot be loaded or read a text.
    """
    use_all_cores(seed=0)
    names = labels_of(found)
    with tempfile.TemporaryDirectory() as scratch:
        copy_tokenizer(found, Path(scratch), max_length)
        ids = token_ids(Tokenizer(Path(scratch) / TOKENIZER_NAME, max_length), texts)
    classifier = adopted_classifier(found, problem_type)
    classifier.train(mode=False)
    logits = teacher_outputs(classifier, ids).logits
    if problem_type == "single_label":
        return [(names[index],) for index in logits.argmax(-1).tolist()]
    chosen = (logits >= 0).tolist()
    return [tuple(sorted(n for n, has in zip(names, row, strict=True) if has)) for row in chosen]
