"""infinity_client: `infinity.py URL MODEL TEXT...`; prints what it got."""

import json
import sys

from infinity_client import Client
from infinity_client.api.default import classify
from infinity_client.models import ClassifyInput

url, model, *texts = sys.argv[1:]
with Client(base_url=url) as client:
    found = classify.sync(client=client, body=ClassifyInput(input_=texts, model=model))
    raw = classify.sync(client=client, body=ClassifyInput(texts, model=model, raw_scores=True))
    unnamed = classify.sync(client=client, body=ClassifyInput(texts))
    refused = classify.sync_detailed(client=client, body=ClassifyInput(["good", ""], model=model))
    unknown = classify.sync_detailed(client=client, body=ClassifyInput(texts, model="none"))
print(
    json.dumps(
        {
            "answers": found.to_dict(),
            "raw": raw.to_dict(),
            "unnamed": unnamed.to_dict()["data"],
            "refused": [refused.status_code, json.loads(refused.content)],
            "unknown": [unknown.status_code, json.loads(unknown.content)],
        }
    )
)
