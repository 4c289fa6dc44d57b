"""The openai client: `moderation.py URL/v1 KEY NIGHTLY_KEY MODEL TEXT...`; prints what it got."""

import json
import sys

import openai

url, key, nightly, model, *texts = sys.argv[1:]
client = openai.OpenAI(base_url=url, api_key=key, max_retries=0)


def asked(**sent):
    return client.moderations.create(**sent).to_dict()


def refused(given=texts[0], by=client, **sent):
    try:
        by.moderations.create(input=given, **sent)
    except openai.APIStatusError as error:
        later = error.response.headers.get("retry-after")
        return [type(error).__name__, error.status_code, error.code, error.param, error.type, later]
    return None


part = {"type": "text", "text": texts[0]}
image = {"type": "image_url", "image_url": {"url": "https://example.com/a.png"}}
limited = client.with_options(api_key=nightly)
found = {
    "one": asked(input=texts[0], model=model),
    "several": asked(input=texts, model=model),
    "parts": asked(input=[{"type": "text", "text": text} for text in texts], model=model),
    "openai's": asked(input=texts[0], model="omni-moderation-latest"),
    "unnamed": asked(input=texts[0]),
    "cut": asked(input="good " * 99, extra_body={"truncate": True}),
    "attribute": client.moderations.create(input=texts[0]).results[0].categories.hate,
    "refused": {
        "key": refused(by=client.with_options(api_key="wrong")),
        "model": refused(model="none"),
        "image": refused([part, image]),
        "empty": refused(["good", ""]),
        "long": refused("good " * 99),
        "many": refused(["good"] * 257),
        "field": refused(extra_body={"temperature": 1}),
        "beyond the limit": [refused(by=limited), refused(by=limited)][1],
    },
}
print(json.dumps(found))
