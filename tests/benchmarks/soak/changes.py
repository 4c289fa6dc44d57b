"""What changes while the requests come: versions, a canary, a family, and the admin API."""

import threading
from collections import Counter

import httpx

from tests.benchmarks.soak.world import ADMIN_KEY

SHIPPED_EVERY = 12
_HEADERS = {"Authorization": f"Bearer {ADMIN_KEY}"}


class Changes(threading.Thread):
    """Changes something every `pause_s` until `stop` is set."""

    def __init__(self, world, admin_port, pause_s, stop):
        super().__init__(name="changes", daemon=True)
        self.made = Counter()
        self.faults = []
        self._world, self._pause_s, self._stopping = world, pause_s, stop
        self._url = f"http://127.0.0.1:{admin_port}/admin/models"
        self._guest = False
        self._turn = 0

    def run(self):
        while not self._stopping.wait(self._pause_s):
            try:
                self._change()
            except Exception as error:  # noqa: BLE001  the soak says so, and is broken
                self.faults.append(f"changes: {error!r}")

    def _change(self):
        turn, world = self._turn, self._world
        self._turn += 1
        world.swap("tone", ("tiny", "wide")[turn % 2])
        self.made["versions"] += 1
        if turn % 4 == 1:
            beside = world.swap("tone", "tiny", "@next")
            kind = "canary" if turn % 8 == 1 else "shadow"
            share = {"weight": 0.3} if kind == "canary" else {"share": 0.3}
            world.direct(**{kind: {"version": beside, **share}})
            self.made[kind] += 1
        elif turn % 4 == 3:
            world.direct()
        if turn % 5 == 2:
            self._change_guest()
        if turn % 7 == 3:
            self._administer()
        if turn % SHIPPED_EVERY == 5:
            world.swap_shipped()
            self.made["cascades"] += 1

    def _change_guest(self):
        if self._guest:
            self._world.remove("guest")
        else:
            self._world.swap("guest", "tiny")
        self._guest = not self._guest
        self.made["families added or removed"] += 1

    def _administer(self):
        with httpx.Client(headers=_HEADERS, timeout=60) as admin:
            for path in ("guest/unload", "guest/load"):
                status = admin.post(f"{self._url}/{path}").status_code
                if status not in {200, 404}:
                    self.faults.append(f"admin: {path}: {status}")
            wrong = admin.get(self._url, headers={"Authorization": "Bearer wrong"}).status_code
            if (admin.get(self._url).status_code, wrong) != (200, 401):
                self.faults.append(f"admin: {self._url}")
        self.made["admin calls"] += 4
