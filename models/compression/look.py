"""Looks at the user's model before anything is planned: what it is, and its speed here."""

import json
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import get_args

import numpy as np
import torch
from transformers import AutoModelForSequenceClassification, PretrainedConfig, PreTrainedModel

from models.compression.estimates import FORWARD_SHARE, held_out
from models.compression.facts import Facts, ModelFacts, TextFacts
from models.compression.user_texts import SEPARATOR, UserTexts, check_whole, columns
from models.compression.wanted import Wanted
from models.data.section import DataSection
from models.data.sources import Source
from models.data.splits import divided_before
from models.library_errors import first_line
from models.recipe import RecipeError
from models.recipe_sections import ProblemType, TrainingPrecision
from models.training.architecture import KNOWN, embedding_width, intermediate_size, text_config
from models.training.device import to_training_device
from models.training.encodings import Ids, readable
from models.training.loop import outputs, similar_lengths, use_all_cores
from models.training.pretrained import config_of, is_classifier
from models.training.tokenizer_file import copy_tokenizer
from models.training.vocabulary import unknown_share
from serving.bundles.bundle import TOKENIZER_NAME
from serving.bundles.position_limit import longest_input
from serving.inference.tokenizer import Tokenizer

_SAMPLE_TEXTS = 2_000
_HARDLY_MORE = 0.995
_MOST_TOKENS = 512
_TIMED_S = 3.0
_WORTHWHILE = 0.8
_BATCH_TEXTS = 16
_USUAL_UNITS_PER_WIDTH = 4


def look(source: Source, found: UserTexts, wanted: Wanted) -> Facts:
    """Find out what the planner needs; it takes seconds, or a minute for a large model.

    Raises RecipeError when transformers cannot read the model, its tokenizer not the texts, or a
    base model has no labels to learn.
    """
    config = config_of(source)
    is_classifier = _answers(config, source, found)
    is_labelled = bool(found.labels)
    if not is_classifier and not is_labelled:
        raise RecipeError(
            f"{source} is a base model, which has no answers until it is fine-tuned, and no text "
            "has a label: name the column of the labels with --label, or give a classifier"
        )
    problem_type = _problem_type(config, found, is_classifier=is_classifier)
    separator = wanted.separator or (None if problem_type == found.problem_type else SEPARATOR)
    if found.problem_type == "single_label" and wanted.separator is None:
        check_whole(found.names(separator))
    longest = min(longest_input(config.to_dict()), _MOST_TOKENS)
    sample = found.texts[:: -(-len(found.texts) // _SAMPLE_TEXTS)]
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / TOKENIZER_NAME
        copy_tokenizer(source, path.parent, longest)
        encodings = readable(Tokenizer(path, longest), sample)
        unknown = unknown_share(path, [each.ids for each in encodings])
        kind = json.loads(path.read_text(encoding="utf-8"))["model"]["type"]
    model = _model(source, config)
    lengths = [each.full_length for each in encodings]
    texts = TextFacts(
        rows=len(found.texts),
        unlabelled_rows=found.unlabelled_rows,
        labels=found.labels,
        problem_type=problem_type,
        most_tokens=int(np.quantile(lengths, _HARDLY_MORE, method="inverted_cdf")),
        unknown=unknown,
        labelled=found.locations(found.labelled, wanted.recipes),
        unlabelled=found.locations(found.unlabelled, wanted.recipes),
        columns=columns(wanted, is_labelled=is_labelled, separator=separator),
        more=found.locations(wanted.more, wanted.recipes),
    )
    texts = replace(texts, seed=_fresh_seed(found.groups, held_out(texts)))
    facts = ModelFacts(
        kind="classifier" if is_classifier else "base",
        layers=int(config.num_hidden_layers),
        width=int(config.hidden_size),
        embedding_width=embedding_width(config),
        heads=int(config.num_attention_heads),
        intermediate=_units(config),
        words=int(text_config(config).vocab_size),
        parameters=sum(each.numel() for each in model.parameters()),
        longest=longest,
        is_narrowable=config.model_type in KNOWN,
        is_trimmable=kind == "WordPiece",
    )
    ids = [each.ids for each in encodings]
    fp32_s, bf16_s = (seconds_a_text(model, ids, each) for each in get_args(TrainingPrecision))
    scoring_s = FORWARD_SHARE * fp32_s
    if bf16_s < _WORTHWHILE * fp32_s:
        return Facts(facts, texts, bf16_s, scoring_s, "bf16")
    return Facts(facts, texts, fp32_s, scoring_s)


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


def _answers(config: PretrainedConfig, source: Source, found: UserTexts) -> bool:
    """Whether it is a classifier of the texts' labels; one of others is a base to fine-tune."""
    if not is_classifier(config):
        return False
    own = set((config.id2label or {}).values())
    theirs = found.names(SEPARATOR if _is_multi_label(config) else None)
    are_names = not all(label.isdecimal() for label in theirs)
    if theirs and are_names and own.isdisjoint(theirs):
        print(f"{source} is a classifier of other labels ({', '.join(sorted(own))}): fine-tuned")
        return False
    return True


def seconds_a_text(
    model: PreTrainedModel, encodings: Sequence[Ids], precision: TrainingPrecision
) -> float:
    """Measure what a text takes in training: forwards, backwards and the optimiser's step.

    A few seconds of batches of similar length, the first left out.
    """
    use_all_cores(seed=0)
    to_training_device(model)
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.0, fused=True)
    model.train()
    batches = similar_lengths([len(ids) for ids in encodings], _BATCH_TEXTS, seed=0)
    texts, started_s = 0, 0.0
    for batch in [batches[0], *batches]:
        now_s = time.perf_counter()
        if started_s and now_s - started_s > _TIMED_S:
            break
        output = outputs(model, [encodings[index] for index in batch], precision)
        assert output.logits is not None
        output.logits.square().mean().backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        optimizer.zero_grad()
        if started_s:
            texts += len(batch)
        else:
            started_s = time.perf_counter()
    return (time.perf_counter() - started_s) / max(1, texts)


def _units(config: PretrainedConfig) -> int:
    """The feed-forward units of a layer; four times the width where the config has no number."""
    try:
        return intermediate_size(config)
    except AttributeError:
        return int(_USUAL_UNITS_PER_WIDTH * config.hidden_size)


def _model(source: Source, config: PretrainedConfig) -> PreTrainedModel:
    """The model with some head or other, to be timed."""
    try:
        model: PreTrainedModel = AutoModelForSequenceClassification.from_pretrained(
            source.name, config=config, ignore_mismatched_sizes=True
        )
    except Exception as error:  # transformers and torch raise many types
        raise RecipeError(
            f"transformers cannot load {source} as a text classifier: {first_line(error)}: save it "
            "again with `save_pretrained`"
        ) from error
    return model


def _problem_type(
    config: PretrainedConfig, found: UserTexts, *, is_classifier: bool
) -> ProblemType:
    return "multi_label" if is_classifier and _is_multi_label(config) else found.problem_type


def _is_multi_label(config: PretrainedConfig) -> bool:
    return bool(config.problem_type == "multi_label_classification")
