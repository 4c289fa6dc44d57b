"""Every architecture with a `*ForSequenceClassification` head, as the library lists them.

Tiny models of them are saved as users have them. It does not know what becomes of the folders.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer
from transformers import CONFIG_MAPPING, AutoModelForSequenceClassification, AutoTokenizer
from transformers.models.auto.modeling_auto import MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING_NAMES

from tests.conformance.configs import shrunken
from tests.conformance.tokenizers_of import tokenizer_of

ARCHITECTURES = sorted(MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING_NAMES)
LABELS = ("cold", "mild", "warm")


class NotAClassifierOfTexts(Exception):
    """Why an architecture cannot be fed by a text tokenizer."""


# What reads more than text, or other than tokens; the reason is shown.
NOT_OF_TEXT = {
    "canine": "reads characters: its tokenizer has no tokenizer.json",
    "layoutlmv2": "reads images of pages",
    "layoutlmv3": "reads images of pages",
    "mra": "computes attention with a CUDA kernel alone, and nothing without it",
    "markuplm": "reads paths in HTML",
    "perceiver": "reads bytes: its tokenizer has no tokenizer.json",
    "tapas": "reads tables",
}


@dataclass(frozen=True)
class Saved:
    """A tiny classifier, in memory and as `save_pretrained` leaves it."""

    folder: Path
    model: Any
    tokenizer: Any


def saved(architecture, folder):
    """Save a seeded random classifier with its tokenizer.

    Raises NotAClassifierOfTexts or NoTokenizerJson with the reason where there can be none.
    """
    if architecture in NOT_OF_TEXT:
        raise NotAClassifierOfTexts(NOT_OF_TEXT[architecture])
    # What the folder says counts: a few classes write another tokenizer than they were.
    tokenizer_of(architecture).save_pretrained(folder)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    known = Tokenizer.from_file(str(folder / "tokenizer.json")).get_vocab()
    ids = {
        "vocab_size": max(known.values()) + 1,
        "pad_token_id": tokenizer.pad_token_id,
        "bos_token_id": _first(tokenizer.bos_token_id, tokenizer.cls_token_id),
        "eos_token_id": _first(tokenizer.eos_token_id, tokenizer.sep_token_id),
        "cls_token_id": tokenizer.cls_token_id,
        "sep_token_id": tokenizer.sep_token_id,
    }
    config = shrunken(CONFIG_MAPPING[architecture], ids)
    config.id2label = dict(enumerate(LABELS))
    config.label2id = {name: index for index, name in enumerate(LABELS)}
    if config.is_encoder_decoder:
        config.decoder_start_token_id = ids["pad_token_id"]
    torch.manual_seed(0)
    model = AutoModelForSequenceClassification.from_config(config, attn_implementation="eager")
    spread_out(model)
    model.eval().save_pretrained(folder)
    return Saved(folder, model, tokenizer)


def spread_out(model):
    """Give matrices weights of a size at which texts differ in their logits."""
    with torch.no_grad():
        for weight in model.parameters():
            if weight.dim() > 1:
                weight.normal_(0, 0.3)
        for module in model.modules():
            if isinstance(module, torch.nn.Embedding) and module.padding_idx is not None:
                module.weight[module.padding_idx] = 0  # as training leaves it


def _first(*values):
    return next((value for value in values if value is not None), None)
