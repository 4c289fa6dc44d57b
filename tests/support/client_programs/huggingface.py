"""huggingface_hub's InferenceClient: `huggingface.py URL TEXT`; prints what it got."""

import json
import sys

from huggingface_hub import InferenceClient
from huggingface_hub.errors import HfHubHTTPError

url, text = sys.argv[1:]
client = InferenceClient(model=url)


def refused(model, text):
    try:
        client.text_classification(text, model=model)
    except HfHubHTTPError as error:
        return [error.response.status_code, error.response.text]
    return None


ways = ({}, *({"function_to_apply": name} for name in ("softmax", "sigmoid", "none")), {"top_k": 1})
print(
    json.dumps(
        {
            "answers": [client.text_classification(text, **way) for way in ways],
            "refused": refused(url, ""),
            "unknown": refused(url.rpartition("/")[0] + "/none", text),
        }
    )
)
