"""The kinds of requests of the bulk, each with every answer that is right."""

import json
import random
from dataclasses import dataclass, field

from loadtest.measure.workload import seeded_texts
from tests.benchmarks.soak.world import API_KEY, LIMITED_KEY

CLASSIFY = "/v1/classify"
TICKET = b"~~~~~~~~"
"""Eight bytes of a request that differ each time that it is sent."""
MOST_TEXTS = 256
WORDS = ("good", "bad", "great", "awful", "film", "plot", "camera", "ending")
SENTENCE_WORDS = 6
SENTENCE_TOKENS = SENTENCE_WORDS + 2
_VARIETY = 64
_REUSE = {"Cache-Control": "max-age=60"}


@dataclass(frozen=True)
class Kind:
    """`right` are the statuses that a request of this kind may get, each with the counted model.

    Of a `native` answer tokens and versions are read; of others each text has `tokens`.
    """

    name: str
    weight: int
    endpoint: str
    right: dict[int, str]
    payloads: list[bytes] = field(repr=False)
    texts: int = 1
    native: bool = False
    tokens: int = 0


def post(path, body, key=API_KEY, method="POST", **headers):
    """A whole request."""
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    given = {
        "Host": "localhost",
        "Content-Type": "application/json",
        "Content-Length": len(content),
        "Cache-Control": "no-cache",
        **({"Authorization": f"Bearer {key}"} if key else {}),
        **{name.replace("_", "-"): value for name, value in headers.items()},
    }
    head = "".join(f"{name}: {value}\r\n" for name, value in given.items() if value is not None)
    return f"{method} {path} HTTP/1.1\r\n{head}\r\n".encode() + content


def sentences(chosen, texts, words=SENTENCE_WORDS):
    return [" ".join(chosen.choices(WORDS, k=words)) for _ in range(texts)]


def kinds():
    """All kinds; the weights add up to 1000."""
    chosen = random.Random(0)
    shipped = seeded_texts(512, seed=0)

    def native(
        name,
        weight,
        texts=1,
        *,
        right=None,
        model="tone",
        headers=None,
        words=SENTENCE_WORDS,
        **body,
    ):
        payloads = []
        for _ in range(_VARIETY):
            own = sentences(chosen, texts, words)
            if model == "sentiment":
                own = chosen.sample(shipped, texts)
            given = {"texts": own, "model": model, **body}
            payloads.append(post(CLASSIFY, given, **(headers or {})))
        return Kind(name, weight, CLASSIFY, right or {200: model}, payloads, texts, native=True)

    def wrong(name, weight, status, *payloads, endpoint=CLASSIFY, model=""):
        return Kind(name, weight, endpoint, {status: model}, list(payloads))

    def other(name, weight, endpoint, path, body, *, model="tone", texts=1, tokens=SENTENCE_TOKENS):
        payloads = [post(path, body(sentences(chosen, 1)[0])) for _ in range(_VARIETY)]
        return Kind(name, weight, endpoint, {200: model}, payloads, texts, tokens=tokens)

    one = {"texts": ["good film"], "model": "tone"}
    limited = {"key": LIMITED_KEY}
    # A shadow of several texts may run in part, and is not counted then.
    whole = {"allow_degraded": False}
    return [
        native("one text", 370),
        native("cached", 150, headers=_REUSE),
        native("four texts", 60, 4, **whole),
        native("a variant", 40, variant="tiny"),
        native("cut", 20, 2, truncate=True, words=40, **whole),
        native("cascade", 12, model="sentiment", truncate=True),
        native("deadline", 13, model="sentiment", truncate=True, deadline_ms=1,
               right={200: "sentiment", 429: "sentiment", 504: "sentiment"}),
        native("limited caller", 80, right={200: "tone", 429: ""}, headers=limited),
        native("a guest", 30, model="guest", right={200: "guest", 404: "", 503: "guest"}),
        other("V2", 25, "/v2/models/{model}/infer", "/v2/models/tone/infer", lambda text: {
            "inputs": [{"name": "text", "datatype": "BYTES", "shape": [1], "data": [text]}]}),
        other("TEI", 15, "/predict", "/predict", lambda text: {"inputs": text}),
        other("Hugging Face", 15, "/models/{model}", "/models/tone",
              lambda text: {"inputs": text}),
        other("vLLM", 15, "/classify", "/classify", lambda text: {"input": text, "model": "tone"}),
        other("moderations", 15, "/v1/moderations", "/v1/moderations",
              lambda text: {"input": text, "model": "tone"}),
        other("KServe V1", 15, "/v1/models/{model}:predict", "/v1/models/tone:predict",
              lambda text: {"instances": [text]}),
        other("rerank", 10, "/v2/rerank", "/v2/rerank",
              lambda text: {"query": text, "documents": [text, text], "model": "passages"},
              model="passages", texts=2, tokens=2 * SENTENCE_WORDS + 3),
        other("zero-shot", 10, "/models/{model}", "/models/nli",
              lambda text: {"inputs": text, "parameters": {
                  "candidate_labels": ["good", "bad"], "hypothesis_template": "a {} film"}},
              model="nli", texts=2, tokens=SENTENCE_WORDS + 6),
        other("tokenize", 15, "/tokenize", "/tokenize", lambda text: {"inputs": text}),
        wrong("no JSON", 10, 400, post(CLASSIFY, b'{"texts": ["good'), post(CLASSIFY, b"\xff")),
        wrong("no key", 10, 401, post(CLASSIFY, one, key=None), post(CLASSIFY, one, key="wrong")),
        wrong("unknown model", 20, 404, post(CLASSIFY, one | {"model": TICKET.decode()})),
        wrong("unknown variant", 10, 404, post(CLASSIFY, one | {"variant": TICKET.decode()}),
              model="tone"),
        wrong("unknown path", 10, 404, post(f"/{TICKET.decode()}", one), endpoint=""),
        wrong("method", 5, 405, post(CLASSIFY, b"", method="GET", Content_Type=None),
              endpoint=CLASSIFY),
        wrong("many texts", 2, 413, post(CLASSIFY, one | {"texts": ["good"] * (MOST_TEXTS + 1)})),
        wrong("media type", 8, 415, post(CLASSIFY, one, Content_Type="text/plain"),
              post(CLASSIFY, one, Content_Encoding="gzip")),
        wrong("field", 10, 422, post(CLASSIFY, one | {TICKET.decode(): 1}),
              post(CLASSIFY, one | {"texts": []}), post(CLASSIFY, one | {"deadline_ms": 10**6})),
        wrong("long text", 5, 422, post(CLASSIFY, one | {"texts": ["good " * 40]}), model="tone"),
    ]  # fmt: skip


def deck(every, seed, size=8192):
    """(number of the kind, request) to send one after the other, again and again."""
    chosen = random.Random(seed)
    numbers = chosen.choices(range(len(every)), [kind.weight for kind in every], k=size)
    return [(number, chosen.choice(every[number].payloads)) for number in numbers]
