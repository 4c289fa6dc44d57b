"""The cohere clients: `rerank.py URL KEY NIGHTLY_KEY MODEL QUERY TEXT...`; prints what they got."""

import json
import sys

import cohere
from cohere.core.api_error import ApiError

url, key, nightly, model, query, *texts = sys.argv[1:]
# The client retries what a limit refuses; a test does not wait for that.
ONCE = {"max_retries": 0}


def client_of(version, api_key=key):
    made = {1: cohere.Client, 2: cohere.ClientV2}[version]
    return made(api_key=api_key, base_url=url)


def asked(version, documents=texts, **sent):
    response = client_of(version).rerank(model=model, query=query, documents=documents, **sent)
    assert response.id
    return [
        [each.index, each.relevance_score, getattr(each, "document", None) and each.document.text]
        for each in response.results
    ]


def refused(version, api_key=key, **sent):
    body = {"model": model, "query": query, "documents": texts} | sent
    try:
        client_of(version, api_key).rerank(**body, request_options=ONCE)
    except ApiError as error:
        later = error.headers.get("retry-after")
        return [type(error).__name__, error.status_code, error.body["message"], later]
    return None


found = {
    "answers": [asked(1), asked(2)],
    "top": [asked(1, top_n=1), asked(2, top_n=1)],
    "objects": asked(1, [{"text": text, "from": "here"} for text in texts]),
    "without": asked(1, return_documents=False),
    "cut": [asked(1, ["good " * 99]), asked(2, ["good " * 99], max_tokens_per_doc=4096)],
    "refused": {
        version: {
            "key": refused(version, "wrong"),
            "model": refused(version, model="none"),
            "family": refused(version, model="tone"),
            "empty": refused(version, documents=["good", ""]),
            "many": refused(version, documents=["good"] * 257),
            "beyond the limit": [refused(version, nightly) for _ in range(2)][1],
        }
        for version in (1, 2)
    },
}
print(json.dumps(found))
