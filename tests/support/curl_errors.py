"""Writes what a curl user sees for each error into docs/reference/protocols.md.

`python -m tests.support.curl_errors`

A test keeps the page true.
"""

import json
import re
import subprocess
import tempfile
from pathlib import Path

from serving.bundles.registry import publish
from tests.support.api_keys import write_callers
from tests.support.bundles import write_registry
from tests.support.odd_graphs import write_reranker
from tests.support.processes import ROOT, serving

PAGE = ROOT / "docs" / "reference" / "protocols.md"
HEADING = "## Errors, as curl prints them"
# How each protocol sends texts, and a question to a model that is not there.
PROTOCOLS = {
    "Native": ("/v1/classify", lambda texts: {"texts": texts}, ("/v1/classify", {"model": "none"})),
    "text-embeddings-inference": (
        "/predict",
        lambda texts: {"inputs": [[text] for text in texts]},
        None,
    ),
    "Hugging Face": ("/models/tone", lambda texts: {"inputs": texts}, ("/models/none", {})),
    "Infinity and vLLM": (
        "/classify",
        lambda texts: {"input": texts},
        ("/classify", {"model": "none"}),
    ),
    "OpenAI's moderations": (
        "/v1/moderations",
        lambda texts: {"input": texts},
        ("/v1/moderations", {"model": "none"}),
    ),
    "Cohere and Jina": (
        "/v1/rerank",
        lambda texts: {
            "model": "passages",
            "query": "great",
            "documents": texts,
            "truncation": False,
        },
        ("/v1/rerank", {"model": "none"}),
    ),
    "KServe V1": (
        "/v1/models/tone:predict",
        lambda texts: {"instances": texts},
        ("/v1/models/none:predict", {}),
    ),
    "Open Inference Protocol V2": (
        "/v2/models/tone/infer",
        lambda texts: {
            "inputs": [{"name": "text", "shape": [len(texts)], "datatype": "BYTES", "data": texts}]
        },
        ("/v2/models/none/infer", {}),
    ),
}
JSON_TYPE = "Content-Type: application/json"
VARYING = re.compile(r'(?<="request_id":")[^"]+|(?<="value":)\d+(?=,"request_id)')


def curl(url, *arguments, body=b""):
    """(status, Retry-After, body) as curl prints them."""
    said = subprocess.run(
        ["curl", "--silent", "--write-out", "\n%{http_code} %header{retry-after}", *arguments, url],
        input=body, capture_output=True, check=True,
    ).stdout.decode()  # fmt: skip
    told, _, last = said.rpartition("\n")
    status, _, later = last.partition(" ")
    return status, later, VARYING.sub("...", told)


def errors(url, keys, path, sent, nobody):
    """(what is sent, what curl prints) of everything that one protocol refuses."""

    def post(body, *headers, to=path, key="search"):
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        given = (f"Authorization: {keys[key]}", *(headers or (JSON_TYPE,)))
        arguments = [argument for header in given for argument in ("--header", header)]
        return curl(url + to, *arguments, "--data-binary", "@-", body=content)

    yield "`{`", post(b"{")
    yield "`{}`", post({})
    yield "an empty text", post(sent(["good", ""]))
    yield "a text of more tokens than the model reads", post(sent(["good " * 99]))
    yield "a text of 20,001 characters", post(sent(["a" * 20_001]))
    yield "257 texts", post(sent(["good"] * 257))
    yield "a body of 2 MB", post(sent(["a" * 2_000_000]))
    if nobody:
        to, named = nobody
        yield "a model that is not there", post(sent(["good"]) | named, to=to)
    yield "`Content-Type: text/plain`", post(sent(["good"]), "Content-Type: text/plain")
    yield "a GET", curl(url + path, "--header", f"Authorization: {keys['search']}")
    yield "no key", curl(url + path, "--header", JSON_TYPE, "--data", json.dumps(sent(["good"])))
    post(sent(["good"]), key="nightly")
    yield "beyond the caller's limit", post(sent(["good"]), key="nightly")


def told():
    """The page's part about errors."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        registry = write_registry(folder / "registry", folder)
        (registry / "tone" / "policy.json").write_text('{"harmless": ["positive"]}')
        write_reranker(folder / "passages", max_length=32)
        publish(folder / "passages", registry)
        headers = write_callers(folder / "callers", search={}, nightly={"texts_per_s": 0.001})
        keys = {name: given["Authorization"] for name, given in headers.items()}
        lines = [
            HEADING,
            "",
            "`...` differs from run to run. Errors that no row shows, such as 503 and 504, have",
            "the same form. Over gRPC, V2 sends the same sentence with a gRPC status.",
        ]
        settings = {"callers": folder / "callers", "default_model": "tone", "variants": "tiny"}
        with serving(registry, **settings) as server:
            for name, (path, sent, nobody) in PROTOCOLS.items():
                rows = errors(server.url, keys, path, sent, nobody)
                lines += part(name, path, sent(["good"]), rows)
    return "\n".join(lines) + "\n"


def part(name, path, example, rows):
    yield from ("", f"### {name}", "", "```")
    yield f"curl http://127.0.0.1:8000{path} -H '{JSON_TYPE}' -d '{json.dumps(example)}'"
    yield from ("```", "", "| instead | status | answer |", "|---|---|---|")
    for instead, (status, later, answer) in rows:
        shown = f"{status}, `Retry-After: ...`" if later else status
        yield f"| {instead} | {shown} | `{answer}` |"


if __name__ == "__main__":
    by_hand, _, _ = PAGE.read_text().partition(HEADING)
    PAGE.write_text(by_hand + told())
