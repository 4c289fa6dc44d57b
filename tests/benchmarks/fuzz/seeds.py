"""Valid requests to every route of every protocol, from which the others are made."""

import json
from dataclasses import dataclass, replace

import numpy as np

JSON = ("Content-Type", "application/json")
HEADER_LENGTH = "Inference-Header-Content-Length"
ADMIN = "/admin/models"


@dataclass(frozen=True)
class Seed:
    method: str
    path: str
    body: bytes = b""
    headers: tuple = ()

    def with_body(self, body):
        return replace(self, body=body)

    def content(self, extra=()):
        """Head and body, with the body's true length."""
        fields = [("Host", "here"), *self.headers, *extra]
        if self.body or self.method not in ("GET", "HEAD"):
            fields.append(("Content-Length", str(len(self.body))))
        lines = "".join(f"{name}: {value}\r\n" for name, value in fields)
        return f"{self.method} {self.path} HTTP/1.1\r\n{lines}\r\n".encode("latin-1") + self.body


def _post(path, value, *headers):
    return Seed("POST", path, json.dumps(value).encode(), (JSON, *headers))


def _binary(path, header, *tensors):
    content = json.dumps(header).encode()
    headers = (
        ("Content-Type", "application/octet-stream"),
        (HEADER_LENGTH, str(len(content))),
    )
    return Seed("POST", path, content + b"".join(tensors), headers)


def _counted(*texts):
    encoded = [text.encode() for text in texts]
    return b"".join(len(each).to_bytes(4, "little") + each for each in encoded)


def _text(name="text", data=("good film", "bad plot"), **more):
    return {"name": name, "shape": [len(data)], "datatype": "BYTES", "data": list(data)} | more


def _sized(name, datatype, shape, size):
    return {"name": name, "datatype": datatype, "shape": shape} | {
        "parameters": {"binary_data_size": size}
    }


_FULL = {
    "texts": ["good film", "bad plot"], "model": "tone", "variant": "auto", "truncate": True,
    "deadline_ms": 5000, "allow_degraded": False, "min_accuracy": 0.5, "max_cost": 1.0,
}  # fmt: skip
_INFER = "/v2/models/tone/infer"
_ROWS = np.array([[1, 2, 3], [4, 5, 6]], "<f4")
_WORDS = _counted("good film", "bad plot")

CLASSIFY = [
    _post("/v1/classify", {"texts": ["good film"]}),
    _post("/v1/classify", {"texts": ["A great film, an awful plot."], "truncate": True}),
    _post("/v1/classify", _FULL),
    _post("/v1/classify", {"texts": ["good"], "variant": "wide"}, ("Cache-Control", "no-cache")),
    _post("/v1/classify", {"texts": [["good film", "bad plot"]], "model": "same"}),
    _post("/v1/classify", {"texts": ["good"], "deadline_ms": 1}, ("Priority", "u=7")),
    _post("/v1/classify", {"texts": ["good film " * 40, "bad"], "long": "windows"}),
    _post("/v1/classify", {"texts": ["good film é \U0001f600"] * 8, "truncate": True}),
]
PEERS = [
    _post("/predict", {"inputs": "good film"}),
    _post("/predict", {"inputs": [["good film"], ["bad plot"]]}),
    _post(
        "/predict",
        {"inputs": [["good"], ["bad"]], "raw_scores": True, "truncate": True}
        | {"truncation_direction": "Left"},
    ),
    _post("/tokenize", {"inputs": ["good film", "x"], "add_special_tokens": False}),
    _post("/tokenize", {"inputs": "good film " * 20}),
    _post("/models/tone", {"inputs": "good film"}),
    _post(
        "/models/tone",
        {"inputs": ["good", {"text": "bad"}], "options": {"use_cache": True}}
        | {"parameters": {"function_to_apply": "sigmoid", "top_k": 1, "truncation": True}},
    ),
    _post("/models/same", {"inputs": [{"text": "good", "text_pair": "bad"}]}),
    _post(
        "/models/nli",
        {"inputs": "good film", "parameters": {"candidate_labels": ["good", "bad"]}},
    ),
    _post(
        "/models/nli",
        {
            "inputs": "good film",
            "parameters": {"candidate_labels": "good,bad", "multi_label": True}
            | {"hypothesis_template": "a {} plot", "truncation": False},
        },
    ),
    _post("/classify", {"model": "tone", "input": ["good", "bad"], "raw_scores": False}),
    _post(
        "/classify",
        {"input": "good film", "use_activation": False, "truncate_prompt_tokens": -1}
        | {"truncation_side": "left", "request_id": "a", "user": "b", "priority": 0},
    ),
    _post(
        "/v1/rerank",
        {"query": "good", "documents": ["film", {"text": "bad"}], "model": "passages"}
        | {"top_n": 1, "return_documents": True, "max_tokens_per_doc": 4096},
    ),
    _post("/v2/rerank", {"query": "good", "documents": ["film", "bad"], "model": "passages"}),
    _post("/v1/models/tone:predict", {"instances": ["good", {"text": "bad"}], "truncate": True}),
    _post("/v1/models/same:predict", {"instances": [["good", "bad"]]}),
    _post("/v1/moderations", {"input": ["good film", "bad"], "model": "tone"}),
    _post("/v1/moderations", {"input": "bad plot " * 40, "model": "tone"}),
    _post(
        "/v1/moderations",
        {"input": [{"type": "text", "text": "good"}], "truncate": True, "model": "tone"},
    ),
]
V2 = [
    _post(_INFER, {"inputs": [_text()]}),
    _post(
        "/v2/models/tone/versions/tiny/infer",
        {
            "id": "1",
            "model_name": "tone",
            "parameters": {
                "truncate": True,
                "deadline_ms": 900,
                "priority": 2,
                "allow_degraded": False,
            },
            "inputs": [_text(shape=[2, 1], data=[["good"], ["bad"]])],
            "outputs": [{"name": "probabilities", "parameters": {"classification": 2}}],
        },
    ),
    _post("/v2/models/same/infer", {"inputs": [_text(), _text("text_pair", ("a", "b"))]}),
    _post(
        "/v2/models/digits/infer",
        {"inputs": [{"name": "x", "shape": [1, 3], "datatype": "FP32", "data": [1, 2.5, -3e-5]}]},
    ),
    _binary(
        _INFER,
        {"inputs": [_sized("text", "BYTES", [2], len(_WORDS))]}
        | {"parameters": {"binary_data_output": True, "timeout": 900_000}},
        _WORDS,
    ),
    _binary(
        "/v2/models/digits/infer",
        {"inputs": [_sized("x", "FP32", [2, 3], 24)]}
        | {"outputs": [{"name": "label", "parameters": {"binary_data": True}}]},
        _ROWS.tobytes(),
    ),
    _post("/v2/repository/index", {}),
]
READ = [
    Seed("GET", path)
    for path in (
        *("/v1/models", "/health/live", "/health/ready", "/health", "/ping", "/info", "/metrics"),
        *(
            "/v1/models/tone",
            "/v2",
            "/v2/health/live",
            "/v2/health/ready",
            "/v2/models/tone",
            "/docs",
        ),
        *("/v2/models/tone/ready", "/v2/models/digits/versions/mlp", "/v2/models/same/ready"),
        *("/v2/models/tone/versions/wide/ready", "/openapi.json", "/docs/oauth2-redirect"),
        *("/static-offline-docs/swagger-ui.css", "/static-offline-docs/favicon.png"),
    )
] + [Seed("HEAD", "/health/live"), Seed("HEAD", "/v1/models"), Seed("OPTIONS", "/v1/classify")]
WITH_BODY = CLASSIFY + PEERS + V2[:-1]
# The usual route twice, so that it is half of the load.
EVERY = CLASSIFY * 3 + PEERS + V2 + READ
OF_ADMIN = [
    Seed("GET", ADMIN),
    Seed("GET", f"{ADMIN}/tone"),
    Seed("PUT", f"{ADMIN}/tone/traffic", b'{"tiny": {"version": "none"}}', (JSON,)),
    Seed("PUT", f"{ADMIN}/tone/traffic", b'{"tiny": {"version": "1", "canary": "2", '
         b'"canary_weight": 0.5, "shadow": "3"}}', (JSON,)),
    Seed("GET", f"{ADMIN}/digits"),
    Seed("DELETE", f"{ADMIN}/none/traffic"),
    Seed("POST", f"{ADMIN}/none/unload"),
    Seed("POST", f"{ADMIN}/none/load"),
]  # fmt: skip
# Each of these takes a while, so few are sent.
OF_ADMIN_SLOW = [
    Seed("POST", f"{ADMIN}/same/unload"),
    Seed("POST", f"{ADMIN}/same/load"),
    Seed("POST", "/admin/rescan"),
    Seed("DELETE", f"{ADMIN}/tone/traffic"),
]
