"""Estimates what each step takes, from the times that one text takes here. Pure."""

from collections.abc import Mapping
from typing import Any

from models.compression.facts import Facts, TextFacts
from models.compression.students import Shape, cost_share, size_bytes

_FORWARD_SHARE = 1 / 3
_EXPORT_S = 12.0
_SCORED_TWICE = 2
_TIMED_TEXTS = 3 * 512
_QUANTIZE_S = 10.0
_QUANTIZE_LOOKS = 7
# As models.stages.quantize, which writes the graph and runs so many texts for each operator.
_SENSITIVITY_TEXTS = 128
_OPERATORS_OF_LAYER = 4
_OTHER_OPERATORS = 2
_WRITTEN_BYTE_S = 1.5e-8
# As models.training.refit, which only a training imports.
_FITTED_TEXTS = 1024
_FITTED_TOKENS = 40_000
_REPORT_S = 20.0
_WARM_UP_TEXTS = 8_000
_STATIC_TEXT_S = 3e-4
_STATIC_S = 10.0
STATIC_WORDS = 8_000
_WORDS_OF_TEXT = 8


def held_out(texts: TextFacts) -> dict[str, float]:
    """Return the shares of the texts that are held out: more of them where there are few."""
    if texts.rows < 5_000:
        return {"validation_share": 0.15, "calibration_share": 0.1, "test_share": 0.2}
    return {"validation_share": 0.08, "calibration_share": 0.08, "test_share": 0.16}


def training_texts(texts: TextFacts) -> int:
    """Estimate the labelled texts to train on."""
    return max(1, round(texts.rows * (1 - sum(held_out(texts).values()))))


def validation_texts(texts: TextFacts) -> int:
    """Estimate the validation texts."""
    return max(1, round(texts.rows * held_out(texts)["validation_share"]))


def train_s(facts: Facts, epochs: int) -> float:
    """Seconds of fine-tuning."""
    checked_s = validation_texts(facts.texts) * facts.scoring_s
    return epochs * (training_texts(facts.texts) * facts.training_s + checked_s)


def export_s(facts: Facts, share: float = 1.0) -> float:
    """Seconds to export and evaluate a model of this share of the teacher's cost."""
    shares = held_out(facts.texts)
    judged = facts.texts.rows * (shares["validation_share"] + shares["test_share"])
    runs = _SCORED_TWICE * judged + facts.texts.rows * shares["calibration_share"] + _TIMED_TEXTS
    return _EXPORT_S + share * runs * facts.scoring_s


def adopt_s(facts: Facts) -> float:
    """Seconds to take over a classifier, whose answers to unlabelled texts are found first."""
    answered = 0 if facts.texts.labels else facts.texts.rows
    return export_s(facts) + answered * facts.scoring_s


def quantize_s(facts: Facts, shape: Shape | None) -> float:
    """Seconds to write and evaluate another number format of a student, or of the whole model."""
    share = cost_share(facts.model, shape) if shape else 1.0
    layers = len(shape.layers) if shape else facts.model.layers
    a_text_s = share * facts.scoring_s
    trials = 1 + _OTHER_OPERATORS + _OPERATORS_OF_LAYER * layers
    written_s = _WRITTEN_BYTE_S * size_bytes(facts.model, shape, "fp32")
    looks_s = _QUANTIZE_LOOKS * validation_texts(facts.texts) * a_text_s
    sensitivity_s = trials * (written_s + _SENSITIVITY_TEXTS * a_text_s)
    return _QUANTIZE_S + sensitivity_s + looks_s + export_s(facts, share) - _EXPORT_S


def distill_s(facts: Facts, shape: Shape, section: Mapping[str, Any]) -> float:
    """Seconds to train, export and evaluate a student."""
    share = cost_share(facts.model, shape)
    copies, epochs = int(section["augmented_copies"]), int(section["epochs"])
    texts = (training_texts(facts.texts) + facts.texts.unlabelled_rows) * (1 + copies)
    read = float(texts)
    if section["hidden_tokens"] == "all":
        # Once more for its states, and by the student for each product that is fitted.
        fitted = min(texts, _FITTED_TEXTS, _FITTED_TOKENS / facts.texts.most_tokens)
        read += texts + fitted * 2 * len(shape.layers) * share
    trained = texts * epochs * share
    checked_s = validation_texts(facts.texts) * epochs * share * facts.scoring_s
    taught_s = read * min(facts.scoring_s, _FORWARD_SHARE * facts.student_s)
    return taught_s + facts.student_s * trained + checked_s + export_s(facts, share)


def finish_s(facts: Facts, *, cascade: bool) -> float:
    """Seconds to report and, if there may be one, to choose a cascade's engines and thresholds."""
    if not cascade:
        return _REPORT_S
    shares = held_out(facts.texts)
    scored = facts.texts.rows * (shares["calibration_share"] + shares["test_share"])
    return _REPORT_S + (_WARM_UP_TEXTS + _SCORED_TWICE * scored) * facts.scoring_s


def static_texts(facts: Facts, *, taught: bool) -> int:
    """Estimate what a static classifier is trained on: if it is taught, the vocabulary too."""
    if not taught:
        return training_texts(facts.texts)
    return training_texts(facts.texts) + facts.texts.unlabelled_rows + STATIC_WORDS


def static_s(facts: Facts, epochs: int, *, taught: bool) -> float:
    """Seconds to train, export and evaluate a static classifier, and for its teacher's answers."""
    texts = static_texts(facts, taught=taught)
    asked = texts - STATIC_WORDS + STATIC_WORDS / _WORDS_OF_TEXT if taught else 0
    return _STATIC_S + asked * facts.scoring_s + texts * epochs * _STATIC_TEXT_S
