"""At least 200 requests that no server should accept, each with the status and field it earns."""

import json
import random
from dataclasses import dataclass


@dataclass(frozen=True)
class Hostile:
    name: str
    content: bytes
    status: int
    field: str
    headers: tuple = (("Content-Type", "application/json"),)
    method: str = "POST"
    path: str = "/v1/classify"


def hostile_requests(max_body_bytes, max_texts, max_text_chars, max_tokens):
    rng = random.Random(20)
    return [
        *_malformed(rng),
        *_wrong_types(),
        *_wrong_values(max_texts, max_text_chars, max_tokens),
        *_unknown_names(rng),
        *_headers_and_paths(max_body_bytes),
    ]


def _malformed(rng):
    good = json.dumps({"texts": ["a good film"], "deadline_ms": 1000}).encode()
    for cut in range(len(good)):
        yield Hostile(f"cut at byte {cut}", good[:cut], 400, "body")
    for bad in (
        b"\xff",
        b"\xc3\x28",
        b"\xed\xa0\x80",
        b"\xf8\x88\x80\x80\x80",
        b"\xc0\xaf",
        b"\x80",
    ):
        yield Hostile(f"not UTF-8: {bad!r}", b'{"texts": ["good ' + bad + b'"]}', 400, "body")
    for _ in range(20):
        noise = bytes([0x80 | rng.randrange(0x80)]) + rng.randbytes(rng.randrange(1, 200))
        yield Hostile(f"noise {noise[:8].hex()}", noise, 400, "body")
    yield Hostile("UTF-16", '{"texts": ["good"]}'.encode("utf-16"), 400, "body")
    yield Hostile("byte order mark", b'\xef\xbb\xbf{"texts": ["good"]}', 400, "body")
    yield Hostile("lone surrogate", b'{"texts": ["\\ud800"]}', 400, "body")
    yield Hostile("control character", b'{"texts": ["a\nb"]}', 400, "body")
    yield Hostile("deep arrays", b"[" * 50_000, 422, "body")
    yield Hostile("deep objects", b'{"a":' * 50_000, 422, "body")
    yield Hostile("two objects", good + good, 400, "body")
    yield Hostile("a number of 5000 digits", b'{"deadline_ms": ' + b"9" * 5000 + b"}", 400, "body")
    yield Hostile("single quotes", b"{'texts': ['good']}", 400, "body")
    yield Hostile("trailing comma", b'{"texts": ["good"],}', 400, "body")
    yield Hostile("a form", b"texts=good", 400, "body")
    yield Hostile("xml", b"<texts><text>good</text></texts>", 400, "body")
    yield Hostile("zero bytes", b"\0" * 100, 400, "body")


def _wrong_types():
    wrong = (None, True, 0, -1, 1.5, 10**30, "text", {}, {"a": []})
    for value in (None, True, 1, 2.5, "text", [], [["texts"]]):
        yield Hostile(f"body is {value!r}", json.dumps(value).encode(), 422, "body")
    for value in wrong:
        yield _field(f"texts is {value!r}", {"texts": value}, "texts")
    for value in (*(v for v in wrong if v != "text"), ["premise", "hypothesis"]):
        yield _field(f"texts[1] is {value!r}", {"texts": ["a", value]}, "texts[1]")
    yield _field("half a pair", {"texts": ["a", ["a"]]}, "texts[1][1]")
    for name in ("model", "variant"):
        for value in (True, 0, 1.5, {}, ["x"]):
            yield _field(f"{name} is {value!r}", {"texts": ["a"], name: value}, name)
    for value in (0, 1, "true", "no", [], {}):
        yield _field(f"truncate is {value!r}", {"texts": ["a"], "truncate": value}, "truncate")
        yield _field(f"long is {value!r}", {"texts": ["a"], "long": value}, "long")
    for value in (None, 0, 1, "true", "no", [], {}):
        name = "allow_degraded"
        yield _field(f"{name} is {value!r}", {"texts": ["a"], name: value}, name)
    for value in (True, 1.5, "100", [], {}, [100]):
        yield _field(
            f"deadline_ms is {value!r}", {"texts": ["a"], "deadline_ms": value}, "deadline_ms"
        )
    for raw in (b"NaN", b"Infinity", b"-Infinity", b"1e400"):
        content = b'{"texts": ["a"], "deadline_ms": ' + raw + b"}"
        yield Hostile(f"deadline_ms is {raw[:9]!r}", content, 422, "deadline_ms")


def _wrong_values(max_texts, max_text_chars, max_tokens):
    yield _field("no texts", {"texts": []}, "texts")
    yield _field("texts missing", {"model": "tone"}, "texts")
    yield _field("an empty text", {"texts": ["a", ""]}, "texts[1]")
    for value in (0, -1, -(10**9), 60_001, 10**12, 2**63, 2**64):
        yield _field(
            f"deadline_ms is {value}", {"texts": ["a"], "deadline_ms": value}, "deadline_ms"
        )
    for count in (max_texts + 1, 2 * max_texts, 10 * max_texts):
        yield _field(f"{count} texts", {"texts": ["a"] * count}, "texts", 413)
    yield _field("many characters", {"texts": ["a", "b" * (max_text_chars + 1)]}, "texts[1]")
    for words in (max_tokens - 1, max_tokens, 2 * max_tokens):
        yield _field(f"{words} words", {"texts": ["good " * words]}, "texts[0]")


def _unknown_names(rng):
    names = ("", "TONE", "tone ", "../tone", "tone/tiny", "\0", "模型", "'; drop table", "a" * 128)
    for name in names:
        yield _field(f"model {name!r}", {"texts": ["a"], "model": name}, "model", 404)
        yield _field(f"variant {name!r}", {"texts": ["a"], "variant": name}, "variant", 404)
    for name in ("model", "variant"):
        yield _field(f"a long {name}", {"texts": ["a"], name: "a" * 100_000}, name)
    for _ in range(20):
        key = "".join(rng.choice("abcdefghijklmnop_") for _ in range(rng.randrange(1, 20)))
        yield _field(f"unknown field {key}", {"texts": ["a"], key: 1}, key)
    for key in ("text", "inputs", "Texts", "__proto__", "constructor"):
        yield _field(f"unknown field {key}", {"texts": ["a"], key: 1}, key)


def _headers_and_paths(max_body_bytes):
    good = b'{"texts": ["good"]}'
    for media in ("text/plain", "application/xml", "multipart/form-data", "json", "*/*", ""):
        headers = (("Content-Type", media),)
        yield Hostile(f"content type {media!r}", good, 415, "Content-Type", headers)
    yield Hostile("no content type", good, 415, "Content-Type", ())
    latin = (("Content-Type", "application/json; charset=latin-1"),)
    yield Hostile("latin-1", good, 415, "Content-Type", latin)
    for encoding in ("gzip", "br", "deflate"):
        headers = (("Content-Type", "application/json"), ("Content-Encoding", encoding))
        yield Hostile(f"content encoding {encoding}", good, 415, "Content-Encoding", headers)
    for size in (max_body_bytes + 1, 2 * max_body_bytes):
        yield Hostile(f"{size} bytes", b" " * size, 413, "body")
    for method in ("GET", "PUT", "DELETE", "PATCH"):
        yield Hostile(f"{method} /v1/classify", good, 405, "method", method=method)
    for path in (
        "/playground/",
        "/v1",
        "/v1/classify/",
        "/v2/classify",
        "/%00",
        "/" + "a" * 4000,
        "/../etc/passwd",
    ):
        yield Hostile(f"path {path[:20]}", good, 404, "path", path=path)


def _field(name, body, field, status=422):
    return Hostile(name, json.dumps(body).encode(), status, field)
