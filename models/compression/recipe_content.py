"""The content of the recipes that a plan consists of, by kind. Pure.

The figures are those that proved themselves in models/recipes/, scaled to the user's model.
"""

import math
from typing import Any

from models.compression.estimates import (
    STATIC_WORDS,
    held_out,
    static_texts,
    training_texts,
    validation_texts,
)
from models.compression.facts import Facts, TextFacts
from models.compression.students import Shape
from models.recipe_sections import Scheme, TrainingPrecision

TEACHER = "teacher-fp32"
_LEARNING_RATE = 1e-4
_STUDENT_LEARNING_RATE = 3e-4
_OF_WIDTH = 384
_LARGEST_RATE = 3e-3
_TRAINED_TEXTS = 20_000
_STUDENT_EPOCHS_MORE = 2
_SMALL_DATA = 20_000
_RARE = 0.2
_STATIC = {"vocabulary_words": STATIC_WORDS, "learning_rate": 3e-3, "batch_texts": 16}
_STATIC_TRAINED_TEXTS = 100_000
# Of three losses among so many texts, the upper 95 % bound is below this number of texts.
_TEXTS_OF_BOUND = 8
_SMALLEST_LIMIT = 0.02
_LARGEST_LIMIT = 0.5


def data_section(facts: Facts) -> dict[str, Any]:
    """The section [data]."""
    texts = facts.texts
    is_labelled = bool(texts.labels)
    unlabelled = [*(texts.unlabelled if is_labelled else ()), *texts.more]
    section: dict[str, Any] = {
        "files": list(texts.labelled if is_labelled else texts.unlabelled),
        "unlabelled": unlabelled or None,
        "truth": None if is_labelled else "teacher",
        "problem_type": None if texts.problem_type == "single_label" else texts.problem_type,
        "seed": None if texts.seed == TextFacts.seed else texts.seed,
    }
    return section | dict(texts.columns) | held_out(texts)


def adopted(facts: Facts, source: str) -> dict[str, Any]:
    """A classifier as it is, which reads texts as long as it can."""
    return {
        "data": data_section(facts),
        "adopt": {"folder": source, "max_length": facts.model.longest},
    }


def fine_tuned(facts: Facts, source: str) -> dict[str, Any]:
    """A base model, trained on the labels."""
    counts = facts.texts.labels.values()
    is_even = min(counts) >= _RARE * max(counts)
    return {
        "data": data_section(facts),
        "train": {
            "base": source,
            "max_length": max_length(facts),
            "epochs": teacher_epochs(facts),
            "learning_rate": _rate(_LEARNING_RATE, facts.model.width),
            "batch_texts": _batch_texts(facts),
            "class_weights": None if is_even else "balanced",
            "precision": _precision(facts),
        },
    }


def quantized(facts: Facts, scheme: Scheme, max_drop: float) -> dict[str, Any]:
    """Another number format, with a limit that the validation texts are enough to show."""
    shown = math.ceil(100 * _TEXTS_OF_BOUND / validation_texts(facts.texts)) / 100
    limit = min(_LARGEST_LIMIT, max(_SMALLEST_LIMIT, max_drop, shown))
    return {"quantize": {"scheme": scheme, "max_accuracy_drop": limit}}


def distilled(facts: Facts, shape: Shape, max_drop: float) -> dict[str, Any]:
    """A student, stopped when it cannot come within the drop and what chance does to it.

    A narrower one is fitted to its teacher first; it has little left to learn, and a high rate
    undoes the fit.
    """
    chance = 1 / math.sqrt(validation_texts(facts.texts))
    is_narrower = shape.width is not None
    rate = _LEARNING_RATE if is_narrower else _STUDENT_LEARNING_RATE
    return {
        "distill": {
            "layers": list(shape.layers),
            "width": shape.width,
            "intermediate": shape.intermediate,
            "vocabulary_words": shape.words,
            "augmented_copies": int(is_narrower),
            "epochs": teacher_epochs(facts) + _STUDENT_EPOCHS_MORE,
            "learning_rate": _rate(rate, shape.width or facts.model.width),
            "batch_texts": _batch_texts(facts),
            "temperature": 2.0,
            "hidden_weight": 1.0,
            "hidden_tokens": "all" if is_narrower else None,
            "label_weight": 0.3 if facts.texts.labels else 0.0,
            "precision": _precision(facts),
            "max_drop": round(min(_LARGEST_LIMIT, max_drop + chance), 3),
        }
    }


def static(facts: Facts) -> dict[str, Any]:
    """A static student of the teacher."""
    own = "teacher" if facts.model.is_trimmable else "learnt"
    words = min(_STATIC["vocabulary_words"], facts.model.words)
    section = _STATIC | {"vocabulary": own, "epochs": static_epochs(facts, taught=True)}
    return {"static": section | ({"vocabulary_words": words} if own == "teacher" else {})}


def static_root(facts: Facts) -> dict[str, Any]:
    """A static classifier that learns from the labels alone, with a vocabulary of its own."""
    section = _STATIC | {"vocabulary": "learnt", "epochs": static_epochs(facts, taught=False)}
    return {
        "data": data_section(facts),
        "static": section | {"max_length": max_length(facts)},
    }


def max_length(facts: Facts) -> int:
    """The longest input to train on: that of the longest text, in steps of 16, if it can be read.

    The trained model refuses longer ones, and few long texts cost little.
    """
    rounded = 16 * math.ceil(facts.texts.most_tokens / 16)
    return max(3, min(rounded, facts.model.longest))


def teacher_epochs(facts: Facts) -> int:
    """So many epochs that some 20,000 texts are read: 3 to 12."""
    return min(12, max(3, round(_TRAINED_TEXTS / training_texts(facts.texts))))


def static_epochs(facts: Facts, *, taught: bool) -> int:
    """So many epochs that some 100,000 texts and words are read: 8 to 40."""
    return min(40, max(8, round(_STATIC_TRAINED_TEXTS / static_texts(facts, taught=taught))))


def _rate(rate: float, width: int) -> float:
    """A learning rate known for a width of 384; wider models need a smaller one."""
    scaled = min(_LARGEST_RATE, rate * _OF_WIDTH / width)
    return float(f"{scaled:.1e}")


def _precision(facts: Facts) -> TrainingPrecision | None:
    return None if facts.precision == "fp32" else facts.precision


def _batch_texts(facts: Facts) -> int:
    return 16 if training_texts(facts.texts) < _SMALL_DATA else 32
