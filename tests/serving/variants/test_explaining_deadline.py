"""A deadline that passes in the middle of an explanation, over a real engine that can be held."""

import asyncio
import threading
import time

import httpx
import pytest

from serving.inference.ort_engine import OrtEngine
from tests.support.batchers import wait_until
from tests.support.bundles import write_registry
from tests.support.in_process import running
from tests.support.processes import FRESH

BUDGET = 2000
DEADLINE_S = 20
PIECE = 128
"""Perturbed texts that are submitted together."""
TEXT = " ".join(["good", "bad", "film"] * 9)


class Clock:
    """Real time, and what is skipped of it."""

    skipped_s = 0.0

    def __call__(self):
        return time.monotonic() + self.skipped_s


class Held:
    """Makes engines whose batches are counted; once it is `armed`, the second does not return."""

    def __init__(self):
        self.armed, self.reached, self.release = (threading.Event() for _ in range(3))
        self.texts = []

    def __call__(self, bundle, resources):
        held = self

        class Engine(OrtEngine):
            def run(self, batch):
                if held.armed.is_set():
                    held.texts.append(len(batch))
                    if len(held.texts) == 2:
                        held.reached.set()
                        held.release.wait(60)
                return super().run(batch)

        return Engine(bundle, resources)


@pytest.mark.parametrize("queued", [True, False], ids=["texts are queued", "between two pieces"])
async def test_a_deadline_that_passes_midway_gives_no_answer_and_leaves_nothing_queued(
    tmp_path, monkeypatch, queued
):
    clock, held = Clock(), Held()
    if queued:
        # What waits in the queue is told by the loop's timers.
        monkeypatch.setattr(asyncio.get_running_loop(), "time", clock)
    registry = write_registry(tmp_path / "registry", tmp_path)
    settings = {"max_batch_tokens": 256, "engine_timeout_ms": 600_000}
    async with running(registry, held, clock, variants=["tiny"], **settings) as app:
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://here") as client:

            async def ask(text, deadline_s=DEADLINE_S, **fields):
                body = {"texts": [text], "deadline_ms": 1000 * deadline_s, **fields}
                return await client.post("/v1/classify", json=body, headers=FRESH, timeout=None)

            held.armed.set()
            explain = {"method": "shapley", "budget": BUDGET}
            asked = asyncio.create_task(ask(TEXT, explain=explain))
            await wait_until(held.reached.is_set)
            clock.skipped_s = DEADLINE_S + 1
            if queued:
                await asked
            held.release.set()
            refused = await asked
            problem = refused.json()
            assert (refused.status_code, problem["code"]) in {
                (429, "overloaded"),
                (504, "deadline_missed"),
            }
            assert problem["field"] == "deadline_ms"
            assert "results" not in problem
            assert not any(app.service.runtime.backlog().queued_s.values())
            # Of the queued texts none is run any more; all that are between two pieces are over.
            before = [1, held.texts[1]] if queued else [*held.texts]
            assert sum(before) < 1 + PIECE if queued else sum(before) == 1 + PIECE

            again = await ask("a great film", 3 * DEADLINE_S)
            assert again.json()["results"][0]["label"] == "positive"
            assert held.texts == [*before, 1]
