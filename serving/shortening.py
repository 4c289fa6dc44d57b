"""Values cut to what may be sent back: what an error says of a request is bounded."""

from itertools import islice

MOST_CHARS = 200
_MOST_ITEMS, _FEWER = 64, 8
_CUT = "..."


def cut(text: str, most: int) -> str:
    """Cut the middle of a text beyond this length: its beginning says what, its end what to do."""
    if len(text) <= most:
        return text
    part = (most - len(_CUT)) // 2
    return text[:part] + _CUT + text[-part:]


def shortened(value: object, most: int = _MOST_ITEMS) -> object:
    """Leave out what is too much of a value to be sent back: `most` items, fewer further inside."""
    if isinstance(value, str):
        return cut(value, MOST_CHARS)
    if not isinstance(value, list | tuple | dict):
        return value
    more = [_CUT] * (len(value) > most)
    if isinstance(value, list | tuple):
        return [shortened(item, most // _FEWER) for item in value[:most]] + more
    shown = {
        cut(str(name), MOST_CHARS): shortened(item, most // _FEWER)
        for name, item in islice(value.items(), most)
    }
    return shown | dict(zip(more, more, strict=True))
