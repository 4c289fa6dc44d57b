"""Texts as tokens to train on or to calibrate with; a text that cannot be read is named."""

from collections.abc import Sequence

from models.recipe import RecipeError
from serving.inference.inputs import Encoding, Text, Unreadable
from serving.inference.tokenizer import Tokenizer

Ids = Sequence[int]


def token_ids(tokenizer: Tokenizer, texts: Sequence[str]) -> list[Ids]:
    """Return the token ids of each text. Raises RecipeError naming one that cannot be read."""
    return [encoding.ids for encoding in readable(tokenizer, texts)]


def readable(tokenizer: Tokenizer, texts: Sequence[Text]) -> list[Encoding]:
    """Encode each text. Raises RecipeError naming one that cannot be read."""
    encodings = tokenizer.encode(texts)
    for text, encoding in zip(texts, encodings, strict=True):
        if isinstance(encoding, Unreadable):
            raise RecipeError(
                f"the tokenizer cannot read the text {text[:40]!r} ({encoding.reason}): "
                "remove it, or name a token as the unknown token in tokenizer.json"
            )
    return encodings
