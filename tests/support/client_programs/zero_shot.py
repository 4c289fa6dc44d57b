"""huggingface_hub's zero-shot classification: `zero_shot.py URL TEXT LABELS TEMPLATE...`."""

import json
import sys

from huggingface_hub import InferenceClient
from huggingface_hub.errors import HfHubHTTPError

url, text, labels, *templates = sys.argv[1:]
labels = json.loads(labels)
client = InferenceClient(model=url)


def refused(candidates, template=None, model=url):
    how = {"hypothesis_template": template, "model": model}
    try:
        client.zero_shot_classification(text, candidates, **how)
    except HfHubHTTPError as error:
        return [error.response.status_code, error.response.json()["error"]]
    return None


found = {
    "answers": [
        [
            [each.label, each.score]
            for each in client.zero_shot_classification(
                text, candidates, multi_label=multi_label, hypothesis_template=template
            )
        ]
        for candidates in (labels, labels[:1])
        for multi_label in (False, True)
        for template in (None, *templates)
    ],
    "refused": [
        refused([]),
        refused(labels, "no hole"),
        refused(labels, model=url.rpartition("/")[0] + "/none"),
        refused(labels, model=url.rpartition("/")[0] + "/plain"),
    ],
}
print(json.dumps(found))
