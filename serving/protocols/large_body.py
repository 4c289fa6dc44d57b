"""Limits on the structure of a large JSON body, checked before it is parsed.

The parser and the validation keep the GIL, so even in a thread they hold up the event loop. They
read a megabyte of text in a millisecond, but take a tenth of a second for as many bytes of empty
lists: what counts is the number of values.
"""

from collections.abc import Iterator

from serving.errors import InvalidField

INLINE_BYTES = 32_768
"""Larger bodies are read in a thread."""
MOST_VALUES = 1 << 19
"""As many numbers as fit into the usual limit of a body; to parse them takes about 10 ms."""

_KEYS, _CONTAINERS, _PER_TEXT = 8_192, 16_384, 4
_CHUNK_BYTES = 1 << 18


def check_structure(body: bytes, max_texts: int) -> None:
    """Raise InvalidField if the JSON has more keys, containers or values than a request needs."""
    limits = {
        "keys": (b":", _KEYS + _PER_TEXT * max_texts, "send fewer"),
        "lists and objects": (
            b"[{",
            _CONTAINERS + _PER_TEXT * max_texts,
            "send fewer, and the data of a tensor flat or as binary data",
        ),
        "values": (b",", MOST_VALUES, "send fewer, or numbers as binary data"),
    }
    for name, (marks, limit, remedy) in limits.items():
        if _count([body], marks) > limit:
            count = _count(_outside_strings(body), marks)
            if count > limit:
                raise InvalidField(
                    f"the JSON has too many {name}: {remedy}",
                    field="body",
                    limit=limit,
                    value=count,
                )


def _count(parts: "Iterator[bytes] | list[bytes]", marks: bytes) -> int:
    return sum(part.count(mark) for part in parts for mark in marks)


def _outside_strings(body: bytes) -> Iterator[bytes]:
    """Yield what is outside of the JSON's strings, in steps that each take a few milliseconds."""
    plain = body.replace(rb"\\", b"").replace(rb"\"", b"")
    inside = False
    for start in range(0, len(plain), _CHUNK_BYTES):
        parts = plain[start : start + _CHUNK_BYTES].split(b'"')
        yield b"".join(parts[inside::2])
        inside ^= len(parts) % 2 == 0
