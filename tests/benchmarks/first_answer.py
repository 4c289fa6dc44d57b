"""From a clean clone to the first answer in the playground, and what its pages weigh.

`python -m tests.benchmarks.first_answer` clones the commit at hand, runs `make run` there, and
opens the pages in Chromium with an empty cache. Installing takes what the package index takes.
"""

import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import httpx

from tests.support.browser import browser
from tests.support.processes import ROOT

URL = "http://127.0.0.1:8000/"
READY_WITHIN_S = 600
LOADS = 3
TEXT = "Not a great film, but the ending is worth the wait."
# What a page shows once it can be used.
PAGES = {"": "#variant option:nth-child(2)", "playground/family.html": "#variants article"}
WEIGHT = """
const entries = (type) => performance.getEntriesByType(type);
const all = [...entries("navigation"), ...entries("resource")];
return [performance.now(), all.length, all.reduce((sum, each) => sum + each.encodedBodySize, 0)];
"""


def main():
    if answers():
        sys.exit(f"Something answers at {URL} already: stop it first")
    with tempfile.TemporaryDirectory() as folder:
        clone = Path(folder) / "sizewise"
        subprocess.run(["git", "clone", "--quiet", ROOT, clone], check=True)
        began_s = time.monotonic()
        with (Path(folder) / "log").open("wb") as log:
            server = subprocess.Popen(
                ["make", "run"], cwd=clone, stdout=log, stderr=log, start_new_session=True
            )
            try:
                wait_until_ready(server)
                print(f"make run to ready: {time.monotonic() - began_s:.1f} s")
                with browser() as window:
                    answer_first(window, began_s)
                    weigh(window)
            finally:
                os.killpg(server.pid, signal.SIGTERM)
                server.wait(60)
    print("Next: put what is worth keeping into docs/development/benchmarks")


def wait_until_ready(server):
    until_s = time.monotonic() + READY_WITHIN_S
    while time.monotonic() < until_s and server.poll() is None:
        if (answer := answers()) and answer.is_success:
            return
        time.sleep(0.1)
    sys.exit("make run did not become ready")


def answers():
    """What the server says of its readiness; None where nothing listens."""
    try:
        return httpx.get(f"{URL}health/ready")
    except httpx.TransportError:
        return None


def answer_first(window, began_s):
    opened_s = time.monotonic()
    window.driver.get(URL)
    window.wait(PAGES[""])
    window.find("#texts").send_keys(TEXT)
    window.find("#classify").click()
    window.wait("article")
    now_s = time.monotonic()
    print(f"opened to the first answer: {now_s - opened_s:.2f} s")
    print(f"make run to the first answer: {now_s - began_s:.1f} s")


def weigh(window):
    """Print when a page could be used, at the latest, and its bytes with all that it asks for."""
    for path, usable in PAGES.items():
        found = []
        for _ in range(LOADS):
            window.driver.get("about:blank")
            window.driver.execute_cdp_cmd("Network.clearBrowserCache", {})
            window.driver.get(URL + path)
            window.wait(usable)
            found.append(window.run(WEIGHT))
        times = ", ".join(f"{ms:.0f}" for ms, _, _ in found)
        _, requests, weight = found[-1]
        print(f"/{path}: {weight / 1000:.1f} kB in {requests} requests, usable after {times} ms")


if __name__ == "__main__":
    main()
