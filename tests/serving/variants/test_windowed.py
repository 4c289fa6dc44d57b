"""Windows are charged as soon as they are known, over a real engine that can be held."""

import asyncio
import threading

import httpx
import pytest

from serving.bundles.registry import publish
from serving.inference.ort_engine import OrtEngine
from tests.support.api_keys import write_callers
from tests.support.batchers import wait_until
from tests.support.bundles import write_bundle
from tests.support.in_process import running
from tests.support.processes import FRESH

LONG = " ".join(["film"] * 66)
"""Six windows of 16 tokens."""
TEXTS_PER_S = 2


class Held:
    """Makes engines that run nothing while `hold` is set."""

    def __init__(self):
        self.hold, self.reached, self.release = (threading.Event() for _ in range(3))

    def __call__(self, bundle, resources):
        held = self

        class Engine(OrtEngine):
            def run(self, batch):
                if held.hold.is_set():
                    held.reached.set()
                    held.release.wait(60)
                return super().run(batch)

        return Engine(bundle, resources)


@pytest.mark.parametrize("leaves", [True, False], ids=["its client leaves", "it is late"])
async def test_a_request_that_never_leaves_the_queue_has_paid_for_its_windows(tmp_path, leaves):
    write_bundle(tmp_path / "tiny", max_length=16)
    publish(tmp_path / "tiny", tmp_path / "registry")
    headers = write_callers(tmp_path / "callers", late={"texts_per_s": TEXTS_PER_S}, free={})
    held = Held()
    async with running(tmp_path / "registry", held, callers=tmp_path / "callers") as app:
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://here") as client:

            async def ask(caller, text, **fields):
                body, sent = {"texts": [text], **fields}, FRESH | headers[caller]
                return await client.post("/v1/classify", json=body, headers=sent, timeout=None)

            held.hold.set()
            running_one = asyncio.create_task(ask("free", "good"))
            await wait_until(held.reached.is_set)
            wait = 60_000 if leaves else 1000
            late = asyncio.create_task(ask("late", LONG, long="windows", deadline_ms=wait))
            await wait_until(lambda: any(app.service.runtime.backlog().queued_s.values()))
            if leaves:
                late.cancel()
                await asyncio.wait([late])
            else:
                assert (await late).status_code == 504
            held.release.set()
            assert (await running_one).status_code == 200

            refused = await ask("late", "good")
            assert (refused.status_code, refused.json()["field"]) == (429, "texts_per_s")
            # Its bucket holds a second's texts: without the windows it would not be empty.
            assert int(refused.headers["Retry-After"]) >= 2
