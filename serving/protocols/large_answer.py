"""Writes the JSON of large answers in bounded turns of the event loop."""

import asyncio
from collections.abc import Callable, Mapping, Sequence

from pydantic_core import to_json

from serving.variants.answers import Answer, FamilyAnswer

TURN_SCORES = 4_096
"""Scores written in a turn: about 3 ms."""


async def json_list(answered: FamilyAnswer, write: Callable[[Sequence[Answer]], bytes]) -> bytes:
    """Write a JSON list of all answers with `write`, which writes one of some of them."""
    answers = answered.answers
    each_turn = max(1, TURN_SCORES // len(answered.labels))
    written = []
    for start in range(0, len(answers), each_turn):
        if start:
            await asyncio.sleep(0)
        written.append(write(answers[start : start + each_turn])[1:-1])
    return b"[" + b",".join(written) + b"]"


def with_list(fields: Mapping[str, object], name: str, items: bytes) -> bytes:
    """Write a JSON object of `fields`, whose empty list `name` gets these items."""
    # A quotation mark within a string is escaped, so this is found nowhere else.
    key = b'"%b":' % name.encode()
    return to_json(fields).replace(key + b"[]", key + items, 1)
