"""kserve's client of protocol V1: `kserve_v1.py URL KEY NIGHTLY_KEY MODEL`; prints what it got."""

import asyncio
import json
import sys

from kserve import InferenceRESTClient
from kserve.inference_client import RESTConfig

url, key, nightly, model = sys.argv[1:]
TEXTS = ["a good film", "awful plot", "bad"]


def headers(of=key):
    return {"Authorization": f"Bearer {of}"}


async def main():
    client = InferenceRESTClient(RESTConfig(protocol="v1"))

    async def asked(instances, name=model, of=key, **more):
        body = {"instances": instances} | more
        return await client.infer(url, body, name, headers=headers(of))

    async def refused(*given, **more):
        try:
            await asked(*given, **more)
        except Exception as error:  # noqa: BLE001  httpx's, which says what the body says
            return str(error)
        return None

    found = {
        "ready": await client.is_model_ready(url, model, headers=headers()),
        "texts": await asked(TEXTS),
        "objects": await asked([{"text": text} for text in TEXTS]),
        "lists": await asked([[text] for text in TEXTS]),
        "cut": await asked(["good " * 99], truncate=True),
        "pairs": [
            await asked([["good", "bad"]], "same"),
            await asked([{"text": "good", "text_pair": "bad"}], "same"),
        ],
        "refused": {
            "key": await refused(TEXTS, of="wrong"),
            "model": await refused(TEXTS, "none"),
            "empty": await refused(["good", ""]),
            "beyond the limit": [await refused(TEXTS, of=nightly) for _ in range(2)][1],
        },
    }
    print(json.dumps(found))


asyncio.run(main())
