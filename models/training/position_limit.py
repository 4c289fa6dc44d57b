"""The longest input that a model's position embeddings allow."""

from typing import Any

_LONGEST = 8192


def longest_input(config: dict[str, Any]) -> int:
    """Return the most tokens that a config.json's positions and the manifest allow.

    RoBERTa and its kin number positions from pad id + 1 on, so they can use that many fewer.
    """
    positions = int(config.get("max_position_embeddings") or _LONGEST)
    if config.get("model_type") in ("roberta", "xlm-roberta", "camembert", "mpnet"):
        positions -= int(config.get("pad_token_id", 1)) + 1
    return min(positions, _LONGEST)
