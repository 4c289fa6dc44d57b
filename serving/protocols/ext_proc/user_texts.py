"""The user's texts in the body of a request to a language model, in OpenAI's forms and alike.

Read are `messages` (chat completions), `prompt` and `suffix` (completions), `input` and
`instructions` (responses), whichever a body has. A message is one text: its parts that have a text,
joined by newlines.
"""

import json
from collections.abc import Collection, Iterator
from typing import Any

from pydantic import BaseModel, model_validator

from serving.errors import InvalidField

# What a client may call the author of what is not the user's; any other name counts as the user's.
_OTHER_ROLES = {"system", "developer", "assistant", "tool", "function"}
_USER, _TOOL = "user", "tool"
_OPERATORS = {"system", "developer"}
# What models' servers read text from, and what they do not; others may hold text anywhere.
_TEXTS = {"text", "input_text", "output_text", "refusal"}
_MEDIA = {"image", "image_url", "input_image", "input_audio", "audio_url", "video_url", "file",
          "input_file"}  # fmt: skip


class _Read(BaseModel):
    """An object of which some fields are read, by their exact names."""

    @model_validator(mode="before")
    @classmethod
    def _exact(cls, given: Any) -> Any:
        for name in given if isinstance(given, dict) else ():
            if name not in cls.model_fields and name.casefold() in cls.model_fields:
                raise InvalidField(
                    "some programs read this field as another one: send its name in lower case",
                    field=name,
                    limit=name.casefold(),
                )
        return given


class Part(_Read):
    """A part of a message; an image, for example, has no text."""

    type: str | None = None
    text: str | None = None
    refusal: str | None = None


class Message(Part):
    """A message, another item of a conversation, or a part without one.

    A tool's result is its `output`.
    """

    role: str | None = None
    content: str | list[str | Part] | None = None
    output: str | list[Part] | None = None


class Body(_Read):
    """A request to a language model."""

    messages: list[Message] | None = None
    prompt: str | list[str] | None = None
    suffix: str | None = None
    input: str | list[str | Message] | None = None
    instructions: str | None = None


def user_texts(body: Body, roles: Collection[str]) -> list[str]:
    """Return the texts of these roles, in order, without empty ones.

    Raises InvalidField if the body has no field in which texts may be, or such a text has a part of
    unknown type.
    """
    if body.messages is None and body.prompt is None and body.input is None:
        raise InvalidField(
            "the body has none of the fields that hold a user's text",
            field="body",
            limit=["messages", "prompt", "input"],
        )
    fields = [body.messages, body.prompt, body.suffix, body.input]
    if not _OPERATORS.isdisjoint(roles):
        fields.append(body.instructions)
    return [text for field in fields for text in _texts(field, roles) if text]


def check_names(body: bytes) -> None:
    """Raise InvalidField if an object of this JSON has two fields of one name.

    Another program could read the one that was not classified.
    """
    json.loads(body, object_pairs_hook=_once)


def _once(pairs: list[tuple[str, Any]]) -> None:
    names = {name for name, _ in pairs}
    if len(names) < len(pairs):
        raise InvalidField("an object has two fields of the same name", field="body")


def _texts(given: str | list[Any] | None, roles: Collection[str]) -> Iterator[str]:
    if isinstance(given, str):
        given = [given]
    for each in given or ():
        if isinstance(each, str):
            yield each
        elif _role(each) in roles:
            yield from (_joined(each.content), _joined(each.output))
            yield from filter(None, (each.text, each.refusal))


def _role(message: Message) -> str:
    if message.role is None:
        return _USER if message.output is None else _TOOL
    return message.role if message.role in _OTHER_ROLES else _USER


def _joined(parts: str | list[Any] | None) -> str:
    if isinstance(parts, str):
        return parts
    return "\n".join(text for part in parts or () for text in _texts_of(part) if text)


def _texts_of(part: str | Part) -> tuple[str | None, ...]:
    if isinstance(part, str):
        return (part,)
    if part.type is not None and part.type not in _TEXTS | _MEDIA:
        raise InvalidField(
            "a part of a message is of a type that may hold text elsewhere",
            field="type",
            limit=sorted(_TEXTS | _MEDIA),
            value=part.type,
        )
    return (part.text, part.refusal)
