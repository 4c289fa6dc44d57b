"""Whether a text can contain the padding token."""

import json
from pathlib import Path

from transformers import PretrainedConfig

from models.graphs.packing import PACKABLE


def reads_padding_as_text(path: Path, config: PretrainedConfig) -> bool:
    """Tell whether an unknown word gets the padding token, and with it another position.

    RoBERTa and its kin skip padding tokens when they number positions; packed rows number every
    token.
    """
    if not PACKABLE.get(config.model_type, False):
        return False
    model = json.loads(path.read_text(encoding="utf-8"))["model"]
    if model.get("unk_id") is not None:
        return bool(model["unk_id"] == config.pad_token_id)
    vocabulary = model.get("vocab")
    if not isinstance(vocabulary, dict):
        return False
    return bool(vocabulary.get(model.get("unk_token"), -1) == config.pad_token_id)
