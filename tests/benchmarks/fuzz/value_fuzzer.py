"""Requests whose HTTP is right and whose JSON is not: values swapped, left out, doubled, at limits.

Values come from a list and from hypothesis. JSON is written here, since json.dumps cannot write a
field twice or a number of 5,000 digits.
"""

import json
from functools import lru_cache

from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from tests.benchmarks.fuzz import nasty
from tests.benchmarks.fuzz.byte_fuzzer import KEEP, Exchange
from tests.benchmarks.fuzz.framing import Framing
from tests.benchmarks.fuzz.seeds import HEADER_LENGTH

FROM_HYPOTHESIS = 1500
_NAMES = [
    "texts", "inputs", "input", "model", "variant", "parameters", "shape", "data", "datatype",
    "name", "outputs", "truncate", "deadline_ms", "id", "__proto__", "", "binary_data_size",
    "classification", "top_k", "raw_scores", "priority", "timeout", "\ufffd", "texts ",
]  # fmt: skip
_DATATYPES = ["BYTES", "FP32", "FP16", "FP64", "BF16", "BOOL", "INT8", "INT64", "UINT64", "X"]
_PLAIN = [None, True, False, 0, -1, 1.5, "", "a", [], {}, [[]], {"a": []}, [None], "1", [1, "a"]]


class Raw(bytes):
    """JSON as it is to be written."""

    __slots__ = ()


class Fields(list):
    """An object as pairs, so that a name may come twice."""


@lru_cache(4)
def hypothesis_values(number):
    """JSON values that hypothesis makes of this seed."""
    found = []
    scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=30)
    values = st.recursive(
        scalars,
        lambda inner: (
            st.lists(inner, max_size=5)
            | st.dictionaries(st.text(max_size=8) | st.sampled_from(_NAMES), inner, max_size=4)
        ),
        max_leaves=8,
    )

    @seed(number)
    @settings(
        max_examples=FROM_HYPOTHESIS, database=None, deadline=None, phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    @given(values)
    def collect(value):
        found.append(value)

    collect()
    return found


def exchange(rng, seeds, extra=(), values=()):
    """One request made of one of these seeds."""
    sent = rng.choice(seeds)
    headers = dict(sent.headers)
    binary = b""
    if sent.body:
        content = sent.body
        if HEADER_LENGTH in headers:
            size = int(headers[HEADER_LENGTH])
            content, binary = content[:size], content[size:]
        value = _as_fields(json.loads(content))
        for _ in range(rng.choice((1, 1, 1, 2, 3))):
            value = changed(rng, value, values)
        content = written(value, ascii_only=rng.random() < 0.5)
        if HEADER_LENGTH in headers:
            headers[HEADER_LENGTH] = str(len(content))
        sent = type(sent)(sent.method, sent.path, content + binary, tuple(headers.items()))
    content = sent.content(extra)
    return Exchange([content], KEEP, Framing([sent.method], 1, is_whole=True), about="values")


def changed(rng, value, values):
    """A value with one change somewhere in it."""
    if isinstance(value, Fields) and value and rng.random() < 0.75:
        at = rng.randrange(len(value))
        name, inner = value[at]
        kind = rng.randrange(10)
        rest = Fields(value)
        if kind == 0:
            del rest[at]
        elif kind == 1:
            rest.insert(rng.randrange(len(rest) + 1), (name, _any(rng, values)))
        elif kind == 2:
            rest[at] = (rng.choice((*_NAMES, name + " ", name.upper())), inner)
        elif kind == 3:
            rest.append((rng.choice(_NAMES), _any(rng, values)))
        else:
            rest[at] = (name, changed(rng, inner, values))
        return rest
    if isinstance(value, list) and not isinstance(value, Fields) and value and rng.random() < 0.7:
        at = rng.randrange(len(value))
        kind = rng.randrange(6)
        if kind == 0:
            return value[:at] + value[at + 1 :]
        if kind == 1:
            return value + [value[at]] * rng.choice((1, 1, 3, 200, 255, 256, 257))
        if kind == 2:
            return [value]
        return [*value[:at], changed(rng, value[at], values), *value[at + 1 :]]
    return _instead(rng, value, values)


def _instead(rng, value, values):
    if isinstance(value, str) and rng.random() < 0.6:
        return rng.choice(_DATATYPES) if value in _DATATYPES else rng.choice(nasty.TEXTS)
    if isinstance(value, int | float) and rng.random() < 0.6:
        return Raw(rng.choice(nasty.NUMBERS))
    return _any(rng, values)


def _any(rng, values):
    kind = rng.random()
    if kind < 0.45 and values:
        return _as_fields(rng.choice(values))
    if kind < 0.6:
        return Raw(rng.choice(nasty.NUMBERS))
    if kind < 0.75:
        return rng.choice(nasty.TEXTS)
    if kind < 0.78:
        depth = rng.choice((5, 60, 127, 128, 129, 199, 200, 201, 2000))
        return Raw(b"[" * depth + b"]" * depth)
    return rng.choice(_PLAIN)


def _as_fields(value):
    if isinstance(value, dict):
        return Fields((name, _as_fields(inner)) for name, inner in value.items())
    if isinstance(value, list):
        return [_as_fields(inner) for inner in value]
    return value


def written(value, *, ascii_only):
    """The value as JSON, with NaN and lone surrogates where it has them."""
    if isinstance(value, Raw):
        return bytes(value)
    if isinstance(value, Fields):
        pairs = (
            written(name, ascii_only=ascii_only) + b":" + written(inner, ascii_only=ascii_only)
            for name, inner in value
        )
        return b"{" + b",".join(pairs) + b"}"
    if isinstance(value, list):
        return b"[" + b",".join(written(inner, ascii_only=ascii_only) for inner in value) + b"]"
    text = json.dumps(value, ensure_ascii=ascii_only)
    return text.encode(errors="surrogatepass")
