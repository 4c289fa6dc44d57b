"""A real server follows a canary from its publication to its promotion, under requests."""

import threading
from collections import Counter

import httpx

from models.evaluation.sequential import Counts
from models.monitoring.log import read_log
from models.retraining.canary import promote, publish_beside, start_canaries
from models.retraining.counted import counting
from models.retraining.verdict import judge
from tests.support.api_keys import write_callers
from tests.support.processes import FRESH, serving
from tests.support.registries import wait_for

LOGGED = {"feedback_texts": 100, "text_log_share": 1, "shutdown_delay_ms": 0}
BODY = {"model": "tone", "variant": "tiny", "texts": ["a good film"]}


class Asked:
    """Asks for the same text over and over; keeps each status and version, and what is refused."""

    def __init__(self, server):
        self.statuses, self.versions, self.refused = Counter(), Counter(), set()
        self._server, self._ended = server, threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._ended.set()
        self._thread.join()

    def _run(self):
        with httpx.Client(base_url=self._server.url, headers=FRESH, timeout=30) as client:
            while not self._ended.is_set():
                answer = client.post("/v1/classify", json=BODY)
                self.statuses[answer.status_code] += 1
                self.versions[answer.json()["results"][0]["version"]] += 1
                self.refused |= client.get("/v1/models").json()["refused"].keys()


def canary_of(client):
    (family,) = client.get("/v1/models").json()["models"]
    return {each["variant"]: each["canary"] for each in family["variants"]}["tiny"]


def test_no_request_fails_while_canaries_are_tried_and_promoted(home):
    with (
        serving(home.registry, scan_ms=100) as server,
        httpx.Client(base_url=server.url, timeout=30) as client,
        Asked(server) as asked,
    ):
        versions = publish_beside(home.made, home.registry, "tone")
        start_canaries(home.registry, "tone", versions, 0.5)
        wait_for(lambda: asked.versions[home.new["tiny"]] > 5)
        assert canary_of(client) == home.new["tiny"]

        promote(home.made, home.registry, "tone", versions)
        wait_for(lambda: canary_of(client) is None)
        before = asked.versions[home.new["tiny"]]
        wait_for(lambda: asked.versions[home.new["tiny"]] > before + 5)
        found = client.get("/v1/models").json()

    assert asked.statuses.keys() == {200}
    assert asked.versions.keys() == {home.old["tiny"], home.new["tiny"]}
    assert {path.rpartition("/")[2] for path in asked.refused} <= {"cascade.json"}
    assert found["refused"] == {}
    (family,) = found["models"]
    assert {each["variant"]: each["version"] for each in family["variants"]} == home.new
    assert [each["version"] for each in family["cascade"]["stages"]] == [*home.new.values()]


def test_feedback_of_a_real_server_is_judged_but_not_that_on_answers_of_a_cascade(home, tmp_path):
    """Nor that on an answer from before the start."""
    callers, log = tmp_path / "callers.json", tmp_path / "log"
    headers = write_callers(callers, willing={"text_log": True})["willing"] | FRESH
    with (
        serving(home.registry, scan_ms=100, callers=callers, text_log=log, **LOGGED) as server,
        httpx.Client(base_url=server.url, headers=headers, timeout=30) as client,
    ):
        earlier = client.post("/v1/classify", json=BODY)
        versions = publish_beside(home.made, home.registry, "tone")
        canaries = start_canaries(home.registry, "tone", versions, 0.5)
        wait_for(lambda: canary_of(client))
        alone = [client.post("/v1/classify", json=BODY) for _ in range(20)]
        cascaded = [client.post("/v1/classify", json={"texts": ["a good film"]}) for _ in range(3)]
        for answer in (earlier, *alone, *cascaded):
            right = {"request_id": answer.headers["x-request-id"], "labels": ["positive"]}
            assert client.post("/v1/feedback", json=right).status_code == 200
        assert server.stop() == 0
    feedback = read_log(str(log), None, "tone", 1).feedback

    counted = dict(counting(feedback, canaries))
    found = judge(counted.values(), canaries).variants["tiny"]

    versions_of = Counter(answer.json()["results"][0]["version"] for answer in alone)
    assert len(feedback) == 24
    assert found.live == Counts(right=versions_of[home.old["tiny"]])
    assert found.canary == Counts(right=versions_of[home.new["tiny"]])
    assert found.canary.n + found.live.n == 20
