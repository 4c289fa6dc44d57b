"""The longest input that a model's position embeddings allow."""

from collections.abc import Mapping
from typing import Any

LONGEST = 8192
"""The most that a manifest can say; also for models whose positions have no limit."""
_KEYS = (
    "max_position_embeddings",
    "n_positions",
    "max_seq_len",
    "seq_length",
    "max_sequence_length",
    "max_encoder_position_embeddings",
    "n_ctx",
)
# Models of several parts describe the one that reads text there.
_PARTS = ("text_config", "encoder")
# They number positions from the pad id + 1 on: the rows up to it hold no position.
_AFTER_PADDING = {
    "camembert", "data2vec-text", "esm", "ibert", "layoutlmv3", "lilt", "longformer", "luke",
    "markuplm", "mpnet", "roberta", "roberta-prelayernorm", "xlm-roberta", "xlm-roberta-xl", "xmod",
}  # fmt: skip
_USUAL_PAD_ID = 1
# Its code has this id in place of the config's.
_CONSTANT_PAD_ID = {"mpnet"}
# Such positions are computed, and the config only says what the model was trained on.
_ROTARY = "rotary"


def longest_input(config: Mapping[str, Any]) -> int:
    """Return the most tokens that a config.json's positions and the manifest allow."""
    positions = next(
        (
            int(part[key])
            for part in (config, *(config.get(name) or {} for name in _PARTS))
            for key in _KEYS
            if isinstance(part, Mapping) and _is_count(part.get(key))
        ),
        LONGEST,
    )
    kind = config.get("model_type")
    if kind in _AFTER_PADDING and config.get("position_embedding_type") != _ROTARY:
        positions -= position_pad_id(config) + 1
    return min(positions, LONGEST)


def position_pad_id(config: Mapping[str, Any]) -> int:
    """Return the id of what a config.json's model skips when it numbers positions."""
    kind, pad_id = config.get("model_type"), config.get("pad_token_id")
    if kind in _CONSTANT_PAD_ID or (pad_id is None and kind in _AFTER_PADDING):
        return _USUAL_PAD_ID
    return int(pad_id or 0)


def _is_count(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and value > 0
