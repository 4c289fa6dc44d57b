"""Requests as bytes, mutated in head, framing and body, each a function of seed and number."""

import re
from dataclasses import dataclass, field
from itertools import pairwise

from tests.benchmarks.fuzz import nasty
from tests.benchmarks.fuzz.framing import Framing, framing_of
from tests.support.raw_http import chunk

KEEP, END, LEAVE, WAIT = "keep", "end", "leave", "wait"
"""What the client does then: ask again, end its sending side, close at once, send nothing more."""
_NUMBER = re.compile(rb"-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?")
_MOST_BODY = 1 << 21


@dataclass
class Exchange:
    """What is sent on a connection, in which parts, and what must come of it."""

    parts: list
    then: str
    framing: Framing
    pause_s: float = 0.0
    about: str = ""
    only: frozenset = field(default=frozenset())
    """The statuses that it may get; empty: any that the protocols document."""

    @property
    def content(self):
        return b"".join(self.parts)


def exchange(rng, seeds, extra=()):
    """One exchange made of these seeds; `extra` are headers that most requests get."""
    several = 1 if rng.random() < 0.85 else rng.randrange(2, 6)
    content = b"".join(_request(rng, seeds, extra) for _ in range(several))
    if rng.random() < 0.3:
        content = mutated(rng, content, rng.choice((1, 1, 2, 4, 16)))
    framing = framing_of(content)
    then = KEEP if framing.is_whole else END
    if rng.random() < 0.03:
        then = LEAVE
    elif then == END and rng.random() < 0.002:
        then = WAIT
    cuts = sorted(rng.randrange(len(content) + 1) for _ in range(rng.choice((0,) * 8 + (1, 3))))
    edges = [0, *cuts, len(content)]
    parts = [content[a:b] for a, b in pairwise(edges) if a < b]
    return Exchange(parts, then, framing, rng.choice((0.0, 0.0, 0.001, 0.003)), "bytes")


def mutated(rng, data, times):
    """Bytes with so many small changes."""
    for _ in range(times):
        change = rng.choice(_CHANGES)
        data = change(rng, data, rng.randrange(len(data) + 1))
    return data[:_MOST_BODY]


def _request(rng, seeds, extra):
    seed = rng.choice(seeds)
    body, headers = seed.body, [*seed.headers]
    if extra and rng.random() < 0.95:
        headers += extra
    if body and rng.random() < 0.75:
        body = _body(rng, seeds, body)
    method, path, version = seed.method, seed.path, "HTTP/1.1"
    if rng.random() < 0.05:
        method = rng.choice(nasty.METHODS)
    if rng.random() < 0.1:
        path = _path(rng, path)
    if rng.random() < 0.03:
        version = rng.choice(nasty.VERSIONS)
    if rng.random() < 0.2:
        headers = _headers(rng, headers)
    framed = _framed(rng, body, headers, has_body=bool(body) or method not in ("GET", "HEAD"))
    host = [] if rng.random() < 0.01 else [("Host", "here")]
    lines = "".join(f"{name}: {value}\r\n" for name, value in [*host, *headers])
    return f"{method} {path} {version}\r\n{lines}\r\n".encode("latin-1", "replace") + framed


def _body(rng, seeds, body):
    if rng.random() < 0.2:
        other = rng.choice(seeds).body
        at, begin = rng.randrange(len(body) + 1), rng.randrange(len(other) + 1)
        return body[:at] + other[begin:]
    return mutated(rng, body, rng.choice((1, 1, 1, 2, 3)))


def _path(rng, path):
    nasty_path = rng.choice(nasty.PATHS)
    at = rng.randrange(len(path) + 1)
    return rng.choice((path + nasty_path, path[:at] + nasty_path + path[at:], nasty_path))


def _headers(rng, headers):
    headers = headers.copy()
    for _ in range(rng.choice((1, 1, 2, 5))):
        kind = rng.randrange(5)
        if headers and kind == 0:
            headers.pop(rng.randrange(len(headers)))
        elif headers and kind == 1:
            headers.append(rng.choice(headers))
        else:
            headers.insert(rng.randrange(len(headers) + 1), rng.choice(nasty.HEADERS))
    if rng.random() < 0.02:
        headers += [(f"X-{number}", "y") for number in range(rng.choice((50, 500)))]
    return headers


def _framed(rng, body, headers, *, has_body):
    """The body as it is sent; its framing joins `headers`, and sometimes is a lie."""
    kind = rng.random()
    if kind < 0.08:
        headers.append(("Transfer-Encoding", "chunked"))
        return _chunks(rng, body)
    if has_body:
        size = str(len(body))
        if kind < 0.11:
            size = str(max(0, len(body) + rng.choice((-5, -1, 1, 7, 100_000, 2_000_000))))
        headers.append(("Content-Length", size))
        if kind < 0.12:
            headers.append(("Content-Length", rng.choice((size, "3"))))
    return body


def _chunks(rng, body):
    sent, at = b"", 0
    while at < len(body):
        size = rng.choice((1, 2, 7, 50, 4000))
        part = chunk(body[at : at + size])
        if rng.random() < 0.05:
            part = mutated(rng, part, 1)
        elif rng.random() < 0.05:
            part = part.replace(b"\r\n", rng.choice((b";a=b\r\n", b";" + b"x" * 99 + b"\r\n")), 1)
        sent += part
        at += size
    end = rng.choice(
        (b"0\r\n\r\n",) * 9 + (b"0\r\nTrailer: x\r\n\r\n", b"", b"0\r\n", b"00000\r\n\r\n")
    )
    return sent + end


def _flip(rng, data, at):
    if at == len(data):
        return data
    return data[:at] + bytes([data[at] ^ (1 << rng.randrange(8))]) + data[at + 1 :]


def _insert(rng, data, at):
    return data[:at] + rng.choice(nasty.BYTES) + data[at:]


def _noise(rng, data, at):
    return data[:at] + rng.randbytes(rng.choice((1, 4, 64))) + data[at + rng.choice((0, 1, 64)) :]


def _cut(_rng, data, at):
    return data[:at]


def _remove(rng, data, at):
    return data[:at] + data[at + rng.choice((1, 2, 10, 50)) :]


def _repeat(rng, data, at):
    piece = data[at : at + rng.choice((1, 5, 40))]
    return data[:at] + piece * rng.choice((2, 3, 30, 300)) + data[at:]


def _number(rng, data, at):
    found = list(_NUMBER.finditer(data))
    if not found:
        return _insert(rng, data, at)
    place = rng.choice(found)
    return data[: place.start()] + rng.choice(nasty.NUMBERS) + data[place.end() :]


_CHANGES = [_flip, _flip, _insert, _insert, _noise, _cut, _remove, _repeat, _number, _number]
