"""One text, or one pair, as several protocols write it in JSON."""

from typing import Any

from serving.inference.inputs import Text

TEXT = {"type": "string"}
TEXT_OR_PAIR = {
    "type": "object",
    "properties": {"text": TEXT, "text_pair": TEXT},
    "required": ["text"],
    "additionalProperties": False,
}
SENTENCE = 'send a string or {"text": ..., "text_pair": ...}'


def text_of(given: Any) -> Text | None:
    """Read a string, {"text": ...} or {"text": ..., "text_pair": ...}; None if it is neither."""
    if isinstance(given, str):
        return given
    if not isinstance(given, dict) or not {"text"} <= given.keys() <= {"text", "text_pair"}:
        return None
    first, second = given["text"], given.get("text_pair", "")
    if not isinstance(first, str) or not isinstance(second, str):
        return None
    return (first, second) if "text_pair" in given else first
