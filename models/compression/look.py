"""Looks at the user's model before anything is planned: what it is, and its speed here."""

import heapq
import json
import math
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import torch
from transformers import AutoModelForSequenceClassification, PretrainedConfig, PreTrainedModel

from models.compression.estimates import held_out
from models.compression.facts import Facts, Kind, ModelFacts, TextFacts
from models.compression.plan import MOST_UNKNOWN
from models.compression.timing import scoring_seconds, training_seconds
from models.compression.user_texts import SEPARATOR, UserTexts, check_whole, columns
from models.compression.wanted import Wanted
from models.data.labels import alike, labels_by_number
from models.data.section import DataSection
from models.data.sources import Source
from models.data.splits import divided_before, normalised
from models.library_errors import first_line
from models.recipe import RecipeError
from models.recipe_sections import ProblemType, TrainingPrecision
from models.training.architecture import (
    KNOWN,
    check_cuttable,
    embedding_width,
    has_words,
    intermediate_size,
    text_config,
)
from models.training.device import device_of, has_bf16
from models.training.encodings import Ids, readable
from models.training.loop import leave_dropout_out
from models.training.pretrained import adopted_config, check_side, config_of, is_classifier
from models.training.tokenizer_file import check_tokenizer, copy_tokenizer
from models.training.vocabulary import unknown_share
from serving.bundles.bundle import TOKENIZER_NAME
from serving.bundles.position_limit import longest_input
from serving.inference.tokenizer import Tokenizer

_SAMPLE_TEXTS = 2_000
_LONGEST_TEXTS = 20
_MOST_TOKENS = 512
_WORTHWHILE = 0.8
_USUAL_UNITS_PER_WIDTH = 4
_SIZES = ("num_hidden_layers", "hidden_size", "num_attention_heads")
_ANOTHER = f"use a model of another architecture, such as {', '.join(KNOWN)}"
_IN_NO_CELL = "\x1f"  # the control character that separates units


def look(source: Source, found: UserTexts, wanted: Wanted) -> Facts:
    """Find out what the planner needs; it takes seconds, or a minute for a large model.

    Raises RecipeError when the model, its tokenizer or its labels are of no use for these texts, or
    it must be trained although nothing may be.
    """
    config = config_of(source)
    _check_architecture(config, source)
    kind = _kind(config, source, found, wanted)
    problem_type = _problem_type(config, source, found, kind)
    if problem_type == "single_label":  # of several labels a row may have none
        found.unusable.check()
    separator = _separator(wanted, found, problem_type)
    if found.problem_type == "single_label" and wanted.separator is None:
        check_whole(found.names(separator))
    longest = min(longest_input(config.to_dict()), _MOST_TOKENS)
    if kind == "classifier":
        adopted_config(source, longest, problem_type)
    sample = found.texts[:: -(-len(found.texts) // _SAMPLE_TEXTS)]
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / TOKENIZER_NAME
        copy_tokenizer(source, path.parent, longest)
        if kind == "classifier":
            check_tokenizer(path, config, longest, source)
        tokenizer = Tokenizer(path, longest)
        encodings = readable(tokenizer, sample)
        many_characters = heapq.nlargest(_LONGEST_TEXTS, found.texts, key=len)
        most_tokens = max(
            each.full_length for each in (*encodings, *readable(tokenizer, many_characters))
        )
        unknown = unknown_share(path, [each.ids for each in encodings])
        has_pieces = json.loads(path.read_text(encoding="utf-8"))["model"]["type"] == "WordPiece"
    if wanted.formats_only and unknown > MOST_UNKNOWN:
        raise RecipeError(
            f"the vocabulary of {source} does not know {unknown:.0%} of the texts' tokens: choose "
            "a model for their language, or leave --formats-only out to train one of them alone"
        )
    texts = TextFacts(
        rows=len({normalised(text) for text in found.texts} - {""}),
        unlabelled_rows=found.unlabelled_rows,
        labels=found.labels,
        problem_type=problem_type,
        most_tokens=most_tokens,
        unknown=unknown,
        labelled=found.locations(found.labelled, wanted.recipes),
        unlabelled=found.locations(found.unlabelled, wanted.recipes),
        columns=columns(wanted, is_labelled=bool(found.labels), separator=separator),
        more=found.locations(wanted.more, wanted.recipes),
    )
    texts = replace(texts, seed=_fresh_seed(found.groups, held_out(texts)))
    model = _model(source, config)
    ids = [each.ids for each in encodings]
    facts = _facts(model, kind, longest, has_pieces=has_pieces)
    return _timed(facts, texts, model, ids, source)


def _fresh_seed(groups: Sequence[str], shares: Mapping[str, float]) -> str:
    """The first seed, from a recipe's default on, that has not divided the texts before."""
    section = DataSection.model_validate({"files": ["given"], **shares})
    reason = ""
    while said := divided_before(groups, section):
        reason = reason or said
        section = section.model_copy(update={"seed": str(int(section.seed) + 1)})
    if reason:
        print(f"{reason}: divided by the seed {section.seed!r} instead")
    return section.seed


def _check_architecture(config: PretrainedConfig, source: Source) -> None:
    """Raise RecipeError when a size that the planner needs is missing, or it is padded left."""
    check_side(config, source)
    missing = [name for name in _SIZES if not hasattr(config, name)]
    missing += [] if hasattr(text_config(config), "vocab_size") else ["vocab_size"]
    if missing:
        raise RecipeError(
            f"{source} is of the architecture {config.model_type}, whose config.json has no "
            f"{', '.join(missing)}: {_ANOTHER}"
        )


def _kind(config: PretrainedConfig, source: Source, found: UserTexts, wanted: Wanted) -> Kind:
    """A classifier of the texts' labels, or a base model; one of other labels counts as that."""
    if is_classifier(config):
        if _answers(config, source, found, wanted):
            return "classifier"
        what = f"{source} is a classifier of other labels ({', '.join(sorted(_labels(config)))})"
    else:
        what = f"{source} is a base model"
        if not config.architectures:
            what += " (its config.json names no architecture: add `architectures` if it is another)"
    if not found.labels:
        raise RecipeError(
            f"{what}, which has no answers until it is fine-tuned, and no text "
            "has a label: name the column of the labels with --label, or give a classifier"
        )
    if wanted.formats_only:
        raise RecipeError(f"{what}, which must be trained first: leave --formats-only out")
    if is_classifier(config):
        print(f"{what}: fine-tuned")
    return "base"


def _answers(config: PretrainedConfig, source: Source, found: UserTexts, wanted: Wanted) -> bool:
    """Whether the texts have labels of a classifier, numbers, or none.

    Raises RecipeError where they may be its labels, written otherwise.
    """
    own = _labels(config)
    is_divided = _is_multi_label(config) and wanted.separator is None
    theirs = found.names(SEPARATOR if is_divided else None)
    if not theirs or labels_by_number(theirs, sorted(own)) or not own.isdisjoint(theirs):
        return True
    for group in map(set, alike(own | theirs)):
        if group & own and group & theirs:
            raise RecipeError(
                f"the texts' label {min(group & theirs)!r} may be {min(group & own)!r} of {source}:"
                " write it so in the table, or name another column with --label"
            )
    return False


def _labels(config: PretrainedConfig) -> set[str]:
    return set(map(str, (config.id2label or {}).values()))


def _facts(model: PreTrainedModel, kind: Kind, longest: int, *, has_pieces: bool) -> ModelFacts:
    config = model.config
    return ModelFacts(
        kind=kind,
        layers=int(config.num_hidden_layers),
        width=int(config.hidden_size),
        embedding_width=embedding_width(config),
        heads=int(config.num_attention_heads),
        intermediate=_units(config),
        words=int(text_config(config).vocab_size),
        parameters=sum(each.numel() for each in model.parameters()),
        longest=longest,
        is_narrowable=config.model_type in KNOWN,
        is_trimmable=has_pieces and has_words(model),
        is_cuttable=_is_cuttable(model),
    )


def _separator(wanted: Wanted, found: UserTexts, problem_type: ProblemType) -> str | None:
    """What stands between the labels of a cell; None if it always has one, or a list."""
    if wanted.separator is None:
        return None if problem_type == found.problem_type else SEPARATOR
    if not wanted.separator and problem_type == "multi_label":
        return _IN_NO_CELL
    return wanted.separator or None


def _is_cuttable(model: PreTrainedModel) -> bool:
    try:
        check_cuttable(model)
    except RecipeError:
        return False
    return True


def _timed(
    facts: ModelFacts, texts: TextFacts, model: PreTrainedModel, ids: Sequence[Ids], source: Source
) -> Facts:
    """All facts. Raises RecipeError when the model cannot read several texts at once."""
    precision: TrainingPrecision = "fp32"
    try:
        training_s = training_seconds(model, ids, precision)
        bf16_s = training_seconds(model, ids, "bf16") if has_bf16(device_of(model)) else math.inf
        if bf16_s < _WORTHWHILE * training_s:
            training_s, precision = bf16_s, "bf16"
        leave_dropout_out(model)
        student_s = training_seconds(model, ids, precision)
        scoring_s = scoring_seconds(model, ids)
    except Exception as error:  # torch and transformers raise many types
        remedy = _ANOTHER
        if text_config(model.config).pad_token_id is None:
            remedy = "set `pad_token_id` in its config.json to the id of its padding token"
        raise RecipeError(
            f"{source} cannot read several texts at once: {first_line(error)}: {remedy}"
        ) from error
    return Facts(facts, texts, training_s, student_s, scoring_s, precision)


def _units(config: PretrainedConfig) -> int:
    """The feed-forward units of a layer; four times the width where the config has no number."""
    try:
        return intermediate_size(config)
    except AttributeError:
        return int(_USUAL_UNITS_PER_WIDTH * config.hidden_size)


def _model(source: Source, config: PretrainedConfig) -> PreTrainedModel:
    """The model with some head or other, in fp32, to be timed."""
    try:
        model: PreTrainedModel = AutoModelForSequenceClassification.from_pretrained(
            source.name, config=config, dtype=torch.float32, ignore_mismatched_sizes=True
        )
    except Exception as error:  # transformers and torch raise many types
        raise RecipeError(
            f"transformers cannot load {source} as a text classifier: {first_line(error)}: save it "
            "again with `save_pretrained`"
        ) from error
    return model


def _problem_type(
    config: PretrainedConfig, source: Source, found: UserTexts, kind: Kind
) -> ProblemType:
    """That of a classifier, or of the texts. Raises RecipeError if it labels none as they are."""
    if kind == "base":
        return found.problem_type
    if _is_multi_label(config):
        return "multi_label"
    if found.problem_type == "multi_label" and len(_labels(config)) > 1:
        raise RecipeError(
            f"{source} gives a text one label, and the texts have lists of them: write one label "
            "in each cell, without a list or --separator; or, if it decides on each label by "
            'itself, set `"problem_type": "multi_label_classification"` in its config.json'
        )
    return found.problem_type


def _is_multi_label(config: PretrainedConfig) -> bool:
    return bool(config.problem_type == "multi_label_classification")
