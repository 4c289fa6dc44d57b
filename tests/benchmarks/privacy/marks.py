"""Requests with marked contents: no program has reason to write the mark, so it is easy to find."""

import json
import random
from dataclasses import replace

from tests.benchmarks.fuzz import seeds
from tests.benchmarks.fuzz.grpc_fuzzer import call_of
from tests.support.ext_proc_streams import chat, chunk, head
from tests.support.hostile_requests import hostile_requests

MARK = "zqv"
WORDS = {b"good": b"zqva", b"film": b"zqvb", b"plot": b"zqvc", b"bad": b"zqv"}
"""In the order of replacement, each as long as what it replaces: lengths in bodies stay true."""
TEXT = "zqvx zqvy zqvz"
HEADERS = (
    ("User-Agent", "zqv-agent"), ("Cookie", "zqv=zqv"), ("Referer", "http://zqv/zqv"),
    ("X-Forwarded-For", "zqv"), ("X-User", "zqv"), ("Priority", "u=zqv"),
    ("Cache-Control", "no-cache, zqv"), ("traceparent", "zqv"), ("tracestate", "zqv=zqv"),
    ("baggage", "zqv=zqv"), ("X-Request-Id", "zqv zqv"),
)  # fmt: skip
"""An X-Request-Id of the allowed form is logged, which is what it is for; this one is not."""
KEY = ("Authorization", "Bearer zqv-key")
SEED = 25


def marked(content):
    """Bytes with the mark in place of each word of the usual texts."""
    for word, its_mark in WORDS.items():
        content = content.replace(word, its_mark)
    return content


def requests(headers):
    """(method, path, headers, body) of every kind, valid and not, to every route of HTTP."""
    good = [replace(each, body=marked(each.body)) for each in seeds.WITH_BODY]
    plain = [
        *good,
        *(replace(each, body=json.dumps(value).encode()) for each, value in changed(good)),
        *(replace(each, body=each.body[:-1]) for each in good),
        *(replace(each, path=f"{each.path}?text=zqv&key=zqv") for each in good[:1] + seeds.READ),
    ]
    named = {"request_id": "zqv-unknown", "index": 0, "labels": ["zqv-label"]}
    plain += [seeds.Seed("POST", "/v1/feedback", json.dumps(named).encode(), (seeds.JSON,))]
    for each in plain:
        yield each.method, each.path, (*each.headers, *HEADERS, *headers), each.body
    for each in good:
        yield each.method, each.path, (*each.headers, KEY), each.body
        yield each.method, each.path, (*each.headers, *headers, ("Content-Type", "zqv")), each.body
    for each in hostile_requests(100_000, 128, 2_000, 100):
        if "zqv" not in each.path and "\n" not in str(each.headers):
            yield each.method, each.path, (*each.headers, *headers), marked(each.content)


def changed(given):
    """Seeds, and the JSON of their bodies, in which something is marked that is usually not."""
    for seed in given:
        try:
            value = json.loads(seed.body)
        except ValueError:
            continue
        for name in value:
            yield seed, value | {name: TEXT}
            yield seed, value | {name: [TEXT * 3_000]}
            yield seed, value | {name: [TEXT * 100] * 40}
        yield seed, value | {"zqv": TEXT}
        yield seed, value | {"user": "zqv-user", "model": "zqv-model", "explain": True}
        yield seed, value | {"long": "windows", "explain": True}


def calls(count):
    """(method, message, metadata, seconds) of gRPC."""
    rng = random.Random(SEED)
    for _ in range(count):
        method, sent, metadata, seconds = call_of(rng)
        named = [("x-user", "zqv"), ("authorization", "Bearer zqv")][: rng.randrange(3)]
        yield method, marked(sent), [*metadata, *named], seconds


def streams():
    """What Envoy says of requests, in protobuf's JSON."""
    body = chat(TEXT, "good")
    sent = [body, body[:-1], json.dumps({"prompt": TEXT, "zqv": 1}).encode(), b"zqv", b""]
    sent += [chat(TEXT * 5_000), chat("")]
    return [[head(x_user="zqv", **{"content-type": "zqv"}), chunk(body)]] + [
        [head(x_user="zqv", authorization="Bearer zqv"), chunk(each)] for each in sent
    ]
