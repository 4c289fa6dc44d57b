"""A caller: sends texts over HTTP, says of some of the answers what would have been right."""

import asyncio
import contextlib
import random
import threading
import uuid
from collections import Counter

import httpx
import numpy as np
from tqdm import tqdm

from models.evaluation.statistics import proportion
from tests.support.metric_values import total
from tests.support.registries import wait_for

FEEDBACK_SHARE = 0.5
_CLIENTS = 8
_TEXTS_A_REQUEST = 16
_PAUSE_S = 0.02
_UNLOGGED = {"Cache-Control": "no-store"}
_WRITTEN_WITHIN_S = _FOLLOWS_WITHIN_S = 120


class Caller:
    """Counts by status what became of its requests; whatever is not a 200 is lost."""

    def __init__(self, server, headers, family):
        self._server, self._headers, self._family = server, headers, family
        self._logged = 0
        self.statuses = Counter()

    def send(self, opinions, name, seed):
        """Send one text after the other, which may be logged, with feedback on half of the answers.

        Return [version, whether it was right, whether that was fed back] of each, and wait until
        all is in the log.
        """
        chosen = random.Random(seed)
        fed = [chosen.random() < FEEDBACK_SHARE for _ in opinions]
        answers = asyncio.run(self._send(list(zip(opinions, fed, strict=True)), name))
        self._logged += len(answers) + sum(each[2] for each in answers)
        written = "sizewise_text_log_rows_total"
        wait_for(
            lambda: total(self._server.metrics(), written, outcome="written") >= self._logged,
            seconds=_WRITTEN_WITHIN_S,
        )
        return answers

    async def _send(self, given, name):
        answers, remaining = [], iter(tqdm(given, name, unit="request", leave=False))
        async with httpx.AsyncClient(
            base_url=self._server.url, headers=self._headers, timeout=60
        ) as client:

            async def ask():
                for opinion, feeds in remaining:
                    request_id = uuid.uuid4().hex
                    answer = await self._post(
                        client, "/v1/classify",
                        {"model": self._family, "texts": [opinion.text], "truncate": True},
                        {"X-Request-Id": request_id},
                    )  # fmt: skip
                    if answer is None:
                        continue
                    (result,) = answer["results"]
                    fed = feeds and await self._post(
                            client, "/v1/feedback",
                            {"request_id": request_id, "index": 0, "labels": [opinion.label]},
                        )  # fmt: skip
                    right = result["label"] == opinion.label
                    answers.append([result["version"], right, bool(fed)])

            await asyncio.gather(*(ask() for _ in range(_CLIENTS)))
        return answers

    async def _post(self, client, path, body, headers=None):
        """The answer; None if the request is lost."""
        try:
            response = await client.post(path, json=body, headers=headers)
        except httpx.TransportError as error:
            self.statuses[type(error).__name__] += 1
            return None
        self.statuses[str(response.status_code)] += 1
        return response.json() if response.status_code == 200 else None

    def accuracy(self, opinions):
        """How many of these the server gets right, which logs none of them."""
        hits = []
        for at in range(0, len(opinions), _TEXTS_A_REQUEST):
            part = opinions[at : at + _TEXTS_A_REQUEST]
            results = self._ask(part)
            hits += [r["label"] == each.label for r, each in zip(results, part, strict=True)]
        return proportion(np.array(hits)).model_dump()

    def _ask(self, opinions):
        body = {"model": self._family, "texts": [e.text for e in opinions], "truncate": True}
        response = httpx.post(
            f"{self._server.url}/v1/classify", json=body, headers={**self._headers, **_UNLOGGED},
            timeout=60,
        )  # fmt: skip
        self.statuses[str(response.status_code)] += 1
        return response.json()["results"] if response.status_code == 200 else []

    @contextlib.contextmanager
    def asking(self, opinions):
        """Go on asking for these while something else happens; what is asked is not logged."""
        ended = threading.Event()
        failed = []

        def ask():
            turn = 0
            while not ended.is_set():
                try:
                    self._ask([opinions[turn % len(opinions)]])
                except httpx.TransportError as error:
                    failed.append(type(error).__name__)
                turn += 1
                ended.wait(_PAUSE_S)

        thread = threading.Thread(target=ask)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join()
            self.statuses.update(failed)

    def wait_until_served(self, versions):
        """Wait until the server has these versions and canaries, by variant."""

        def served():
            told = httpx.get(f"{self._server.url}/v1/models", headers=self._headers, timeout=60)
            (family,) = told.json()["models"]
            return {
                each["variant"]: (each["version"], each["canary"]) for each in family["variants"]
            }

        wait_for(lambda: served() == versions, seconds=_FOLLOWS_WITHIN_S)

    def taken(self):
        """How many requests there were of each status since the last call."""
        statuses, self.statuses = dict(self.statuses), Counter()
        return statuses
